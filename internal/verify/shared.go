package verify

import (
	"fmt"

	"waybill/internal/guard"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/news"
)

// banned looks at the ban of a network, or of an account there.
func (v *verifier) banned(e store.Entry) {
	network, _, _, ok := keys.ParseBanned(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	v.remembered(fmt.Sprintf("a ban of %s", network), guard.Check(e.Value))
}

// known looks at a network that an account has logged in from.
func (v *verifier) known(e store.Entry) {
	_, network, ok := keys.ParseKnown(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	v.remembered(fmt.Sprintf("a login from %s", network), guard.Check(e.Value))
}

// news looks at what one node tells the others.
func (v *verifier) news(e store.Entry) {
	topic, rest, ok := keys.ParseOwner(e.Key)
	if _, _, is := keys.ParseNews(topic, e.Key); !ok || !is {
		v.malformed(e)
		return
	}
	v.remembered(fmt.Sprintf("what process %x told the others about %s", rest[:8], topic), news.Check(e.Value))
}

// remembered tells of what nobody misses for long.
func (v *verifier) remembered(what string, err error) {
	if err != nil {
		v.found(Untidy, what, "it cannot be read: %v", err)
	}
}
