//go:build !unix

package main

import (
	"fmt"

	"waybill/internal/config"
)

// startHelper is for systems with users of numbers.
func startHelper(conf config.Config, _ string, _ streams, _, _ int) (admin, error) {
	return nil, fmt.Errorf("the store in %s belongs to another user", conf.Data)
}
