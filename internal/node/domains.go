package node

import (
	"fmt"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/mail"
)

// changed is a domain as it is to be.
func (k *core) changed(c control.DomainChange) (config.Domain, error) {
	name, err := mail.ParseDomain(c.Name)
	if err != nil {
		return config.Domain{}, fmt.Errorf("domain %s: %w", c.Name, err)
	}
	x := config.Domain{Name: name}
	for _, old := range k.directory.Domains() {
		if old.Name == name && !c.New {
			x = old.Domain
		}
	}
	if c.Postmaster != nil {
		x.Postmaster = *c.Postmaster
	}
	if c.SCRAM != nil {
		x.NoSCRAM = !*c.SCRAM
	}
	return x, nil
}
