package metrics

import (
	"slices"
	"strconv"

	"waybill/internal/trail"
)

// code is the reply code of an event. Next hops choose theirs, out of the codes that there can be.
func code(e trail.Event) string {
	if e.Status == nil || e.Status.Code < 200 || e.Status.Code > 599 {
		return "none"
	}
	return strconv.Itoa(e.Status.Code)
}

const authFailed = 535 // RFC 4954 §6

// isLogin: what POP3 refuses in a session is a login.
func isLogin(e trail.Event) bool {
	return e.Status != nil && e.Status.Code == authFailed || roles[e.Role] == "POP3" && e.Session != ""
}

var versions = []string{"TLS 1.2", "TLS 1.3"}

// version is what TLS agreed on.
func version(e trail.Event) string {
	switch {
	case e.TLS == nil:
		return "none"
	case slices.Contains(versions, e.TLS.Version):
		return e.TLS.Version
	}
	return "other"
}

var dnsCodes = []string{"NOERROR", "NODATA", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "TIMEOUT", "REFERRAL"}

func dnsCode(code string) string {
	if slices.Contains(dnsCodes, code) {
		return code
	}
	return "other"
}
