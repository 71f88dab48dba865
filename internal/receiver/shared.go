package receiver

import (
	"context"
	"encoding/binary"
	"net/netip"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/news"
	"waybill/internal/store/record"
)

// Share lets the nodes that use one store hold clients to their rates together: it tells them what was taken here, and hears what
// they took, until ctx is done. Without rates there is nothing to do, and nothing is written.
func (r *Receiver) Share(ctx context.Context) {
	if r.others != nil {
		r.others.Run(ctx)
	}
}

// shared is the rates of a Receiver as news.Member.
type shared struct {
	addresses *rates[netip.Prefix]
	accounts  *rates[string]
}

// share prepares the rates for Share.
func (r *Receiver) share() {
	if !r.Shared || r.RatePerAddress <= 0 && r.RatePerAccount <= 0 {
		return
	}
	r.addresses.share()
	r.accounts.share()
	r.others = news.New(r.Store, "rates", &shared{r.addresses, r.accounts})
}

// took has the others told of a message that was counted.
func (r *Receiver) took() {
	if r.others != nil {
		r.others.Tell()
	}
}

// ratesFormat is the first octet of what is said; then for each key: ofAddress network9, or ofAccount name, and the number of
// messages.
const (
	ratesFormat = 1
	ofAddress   = 1
	ofAccount   = 2
	maxAccount  = mail.MaxLocalPart + 1 + mail.MaxDomain // octets of an address
	maxKeySaid  = maxAccount + 2*binary.MaxVarintLen64   // octets that one takes, and 1 for what it is
)

// Say implements news.Member.
func (s *shared) Say(*store.Batch) (said []byte, more bool) {
	said = []byte{ratesFormat}
	for len(said)+maxKeySaid < news.MaxSaid {
		if network, messages, ok := s.addresses.next(); ok {
			said = keys.AppendNetwork(append(said, ofAddress), network)
			said = binary.AppendUvarint(said, messages)
			continue
		}
		account, messages, ok := s.accounts.next()
		if !ok && len(said) == 1 {
			return nil, false
		}
		if !ok {
			return said, false
		}
		if len(account) <= maxAccount {
			said = record.AppendText(append(said, ofAccount), account)
			said = binary.AppendUvarint(said, messages)
		}
	}
	return said, true
}

// Hear implements news.Member.
func (s *shared) Hear(said []byte, ago time.Duration) {
	at := time.Now().Add(-ago)
	for r := record.NewReader(said, ratesFormat); r.More(); {
		switch r.Octet() {
		case ofAddress:
			network, ok := keys.ReadNetwork(r.Fixed(keys.NetworkSize))
			if messages := r.Uvarint(); r.Err() == nil && ok {
				s.addresses.hear(at, network, messages)
			}
		case ofAccount:
			account := r.Text()
			if messages := r.Uvarint(); r.Err() == nil {
				s.accounts.hear(at, account, messages)
			}
		default:
			return // of a newer release
		}
	}
}

// Recall implements news.Member: nothing is kept beyond what is told.
func (s *shared) Recall(store.Snapshot) error { return nil }

// Sweep implements news.Member.
func (s *shared) Sweep(store.Snapshot, *store.Batch) (more bool, err error) { return false, nil }
