package relay

import (
	"strings"
	"time"

	"waybill/internal/mail"
)

// misrouted is the verdict where the configuration leads nowhere. That is the operator's mistake and not the sender's: so
// the mail waits until it is mended, and the operator is told, though not for each message.
func (d *delivery) misrouted(format string, args ...any) verdict {
	v := ours(badRoute.WithText(format, args...))
	if !d.relay.complained.has(v.Text) {
		d.relay.complained.note(v.Text)
		d.relay.Logger.Error("a route of the configuration leads nowhere", "next hop", d.attempt.NextHop, "reason", v.Text)
	}
	return v
}

var badRoute = mail.NewStatus(451, "4.3.5", "") // RFC 3463 §3.4: system incorrectly configured

// complainAgain is how long an operator hears nothing more of the same mistake.
const complainAgain = 10 * time.Minute

// namesRoute says whether a next hop is the name of a route: it has a port, which no domain and no address literal has.
func namesRoute(nextHop string) bool {
	literal := strings.HasPrefix(nextHop, "[") && strings.HasSuffix(nextHop, "]")
	return !literal && strings.Contains(nextHop, ":")
}
