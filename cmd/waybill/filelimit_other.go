//go:build !unix

package main

import (
	"log/slog"

	"waybill/internal/config"
)

// checkFileLimit has nothing to check where there is no such limit.
func checkFileLimit(*slog.Logger, config.Limits) {}
