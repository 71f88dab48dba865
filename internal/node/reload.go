package node

import (
	"fmt"
	"reflect"
	"strings"

	"waybill/internal/config"
)

// Reload takes over what can be changed while the node runs: the certificate's files are read again, and the domains and
// routes of c are the ones from now on, with the passwords and authorities that they name. What else differs is returned in
// words: it counts from the next start on. With an error nothing but the certificate has changed.
func (n *Node) Reload(c config.Config) (pending []string, err error) {
	n.certs.reload(true)
	if err := n.routes.Set(c.Routes); err != nil {
		return nil, fmt.Errorf("reload the routes: %w", err)
	}
	n.directory.SetConfigured(c.Domains)
	n.queue.LimitsChanged()
	return differences(n.config, c), nil
}

// ReloadCertificates reads the certificate's files again.
func (n *Node) ReloadCertificates() { n.certs.reload(true) }

// differences names the settings that differ, but for the domains and routes, as the file names their tables.
func differences(a, b config.Config) (names []string) {
	before, after := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range before.NumField() {
		name := before.Type().Field(i).Name
		if name == "Domains" || name == "Routes" || reflect.DeepEqual(before.Field(i).Interface(), after.Field(i).Interface()) {
			continue
		}
		name = strings.ToLower(name)
		if before.Field(i).Kind() == reflect.Struct {
			name = "[" + name + "]"
		}
		names = append(names, name)
	}
	return names
}
