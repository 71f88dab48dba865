package receiver

import (
	"strings"

	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/spool"
)

// addRecipient adds a recipient to the envelope. Somebody to whom several of the addresses in RCPT lead gets one copy: who
// names them all is then added once. The reports that were asked for stay, where need be by a recipient of its own.
func (s *session) addRecipient(who mail.Address, r spool.Recipient) (added bool) {
	if i, known := s.tx.known[who]; known {
		first := &s.tx.recipients[i]
		same := first.ForwardPath == r.ForwardPath && first.Original == r.Original
		if report, ok := merge(first.Report, r.Report, same); ok {
			if !same && namesSecond(first.Report, r.Report) {
				first.ForwardPath, first.Original = r.ForwardPath, r.Original
			}
			first.Report = report
			return false
		}
	}
	if s.tx.known == nil {
		s.tx.known = map[mail.Address]int{}
	}
	s.tx.known[who] = len(s.tx.recipients)
	s.tx.recipients = append(s.tx.recipients, r)
	return true
}

// identity is who stands behind a target, whatever address led to them: an account, or an address elsewhere, where the
// local-part may well depend on case.
func identity(t directory.Target) mail.Address {
	if t.Forwarded {
		return elsewhere(t.Path)
	}
	return mail.Address{Local: strings.ToLower(t.Account.Address.Local), Domain: t.Account.Address.Domain}
}

func elsewhere(path mail.Address) mail.Address {
	return mail.Address{Local: path.Local, Domain: strings.ToLower(path.Domain)}
}

// merge returns what is to be reported on one copy that stands for two recipients, of the same address or not: whatever
// either asked for. It is false if both want to hear of success under different names, which one report cannot tell.
func merge(a, b mail.Report, same bool) (mail.Report, bool) {
	wantsA, wantsB := wishes(a.Notify), wishes(b.Notify)
	switch {
	case a == b && same, wantsB == 0:
		return a, true
	case wantsA == 0:
		return b, true
	case wantsA&wantsB&mail.NotifySuccess != 0 && (a.Original != b.Original || !same):
		return a, false
	}
	merged := a
	if wantsA != wantsB { // else it stays unsaid where neither said it
		merged.Notify = wantsA | wantsB
	}
	if wantsB&mail.NotifySuccess != 0 || a.Original.Address == "" {
		merged.Original = b.Original
	}
	return merged, true
}

// namesSecond says whether what is reported on one copy for a and b is to name the address of b: it asked to hear of success
// and a did not, or a asked to hear nothing (RFC 3461 §4.1).
func namesSecond(a, b mail.Report) bool {
	wantsA, wantsB := wishes(a.Notify), wishes(b.Notify)
	return wantsB != 0 && (wantsA == 0 || wantsB&^wantsA&mail.NotifySuccess != 0)
}

// wishes is a NOTIFY without what is only said in other words (RFC 3461 §4.1).
func wishes(n mail.Notify) mail.Notify {
	switch n {
	case 0:
		return mail.NotifyFailure | mail.NotifyDelay
	case mail.NotifyNever:
		return 0
	}
	return n
}
