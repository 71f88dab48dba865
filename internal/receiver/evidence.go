package receiver

import (
	"crypto/tls"

	"waybill/internal/trail"
)

func trailTLS(state *tls.ConnectionState) *trail.TLS {
	if state == nil {
		return nil
	}
	return &trail.TLS{Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite)}
}
