package trail

import (
	"crypto/tls"

	"waybill/internal/dns"
)

// Evidence turns the answers that a step rests on into what its event shows.
func Evidence(answers []dns.Answer) []DNS {
	if len(answers) == 0 {
		return nil
	}
	shown := make([]DNS, len(answers))
	for i, a := range answers {
		shown[i] = DNS{Name: a.Name, Type: a.Type, Server: a.Server, Code: a.Code, TTL: a.TTL, Cached: a.Cached, Took: a.Took}
		for _, r := range a.Records {
			shown[i].Answers = append(shown[i].Answers, r.String())
		}
	}
	return shown
}

// TLSFacts turns the state of a TLS connection into what its event shows; nil for none.
func TLSFacts(state *tls.ConnectionState) *TLS {
	if state == nil {
		return nil
	}
	return &TLS{Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite)}
}
