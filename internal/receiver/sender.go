package receiver

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// Mail begins a transaction.
func (s *session) Mail(ctx context.Context, reverse mail.Address, p smtp.MailParams) mail.Status {
	if s.kind == MSA {
		if status := s.maySubmit(ctx, reverse); !status.Success() {
			return status
		}
	}
	if status, ok := s.r.room(time.Now(), p.Size); !ok {
		s.refuse(trail.Decision{Question: "can the server take mail now?", Outcome: "refused",
			Rule: "room on the disk, and a store that works", Reason: status.Text}, status, "")
		return status
	}
	if status, ok := s.withinRate(time.Now()); !ok { // last: a message that is refused anyway costs nothing
		return status
	}
	if s.reverse == nil {
		s.reverse = s.r.beginReverse(ctx, s.peer)
	}
	s.tx = transaction{reversePath: reverse, params: p, began: time.Now()}
	name := reverse.String()
	if reverse.IsNull() {
		name = reverse.Path()
	}
	return senderOK.WithText("%s... Sender ok", name)
}

// maySubmit says whether a client of a submission listener may send from that reverse-path: somebody has logged in, and
// it is an address of that account (RFC 6409 §6.1). The null reverse-path is nobody's name, and what reports on
// messages are sent with (RFC 8098 §3); whom the message is from stands in From, which is checked too.
func (s *session) maySubmit(ctx context.Context, reverse mail.Address) mail.Status {
	if s.account.IsNull() {
		s.refuse(trail.Decision{Question: "may this client submit mail?", Outcome: "refused",
			Rule: "submission needs a login", Reason: "nobody has logged in"}, authRequired, "")
		return authRequired
	}
	if reverse.IsNull() {
		return senderOK
	}
	owns, err := s.r.Owners.Owns(ctx, s.account, reverse)
	if err != nil {
		s.r.Logger.Error("reverse-path could not be looked up", "session", s.conn.ID(), "error", err)
		return storeDown
	}
	if !owns {
		status := notYourPath.WithText("%s... Sender address does not belong to %s", reverse, s.account)
		s.refuse(trail.Decision{Question: "may this account send from this reverse-path?", Outcome: "refused",
			Rule: ownAddresses(s.account), Reason: reverse.String() + " is none of its addresses"}, status, "")
		return status
	}
	return senderOK
}

// ownAddresses names the rule by which an account may send under some addresses and not under others.
func ownAddresses(account mail.Address) string {
	return "an account sends under its own addresses: " + account.String()
}

// withinRate counts a message against its account, or on the smtp listeners against the address that it comes from. Who
// is trusted to relay is not counted: a network that sends for many is what trust is for.
func (s *session) withinRate(now time.Time) (mail.Status, bool) {
	who, key, rate := s.account.String(), "rate_per_account", s.r.RatePerAccount
	var wait time.Duration
	var ok bool
	if s.kind == MSA {
		wait, ok = s.r.accounts.take(now, s.account.Key())
	} else {
		if _, trusted := s.relayAllowed(); trusted {
			return mail.Status{}, true
		}
		from := counted(s.peer)
		who, key, rate = from.String(), "rate_per_address", s.r.RatePerAddress
		if from.IsSingleIP() {
			who = from.Addr().String()
		}
		wait, ok = s.r.addresses.take(now, from)
	}
	if ok {
		s.r.took()
		return mail.Status{}, true
	}
	limit := strconv.FormatFloat(rate, 'g', -1, 64)
	again := fmt.Sprintf("try again in %d seconds", int64(math.Ceil(wait.Seconds())))
	status := overRate.WithText("Too many messages from %s: %s a second are allowed, %s", who, limit, again)
	s.refuse(trail.Decision{Question: "does the client keep to its rate?", Outcome: "refused",
		Rule: "[limits] " + key + ": " + limit, Reason: who + " sent more; it was told to " + again}, status, "")
	return status, false
}

// ipv6Network is the length of the prefix that one customer has at least: with it the addresses are his to choose.
const ipv6Network = 64

// counted is what an address is counted under: itself, or for IPv6 its /64.
func counted(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = ipv6Network
	}
	p, _ := addr.Prefix(bits) // the zero Prefix for what is no address
	return p
}

// trusted returns the network of the configuration by which the peer may relay without a login.
func (s *session) trusted() (netip.Prefix, bool) {
	if s.kind != MTA {
		return netip.Prefix{}, false
	}
	return dialogue.Network(s.r.Trusted, s.peer)
}

// room says whether the node can take a message of size octets now (0: not known); if not, with which reply.
func (r *Receiver) room(now time.Time, size int64) (mail.Status, bool) {
	if err := r.Store.Healthy(); err != nil {
		return mail.StatusOf(err), false
	}
	if r.space.low(now, size) {
		return lowSpace, false
	}
	return mail.Status{}, true
}
