package explain

import (
	"slices"
	"strings"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

// Sight is what one server knows of who brought a message: what it saw itself, or has proof of, and what it was told.
type Sight struct {
	Server  string
	Message mail.ID // "" if it was refused
	Seen    []Claim
	Claimed []Claim
}

// Claim is one line of a Sight.
type Claim struct {
	Name, Value string
	Note        string // what the other lines say about it
	Doubtful    bool   // they contradict it
}

// sights returns one for each message that a server received, and for each session in which it refused one.
func (t *teller) sights() []Sight {
	var sights []Sight
	refused := map[string]bool{}
	for _, e := range t.events {
		switch {
		case e.Peer == nil:
		case e.Kind == trail.Received:
			sights = append(sights, t.sight(e))
		case e.Kind == trail.Refused && !refused[e.Actor+" "+e.Session] && !t.received(e.Session, e.Actor):
			refused[e.Actor+" "+e.Session] = true
			sights = append(sights, t.sight(e))
		}
	}
	return sights
}

func (t *teller) received(session, actor string) bool {
	return slices.ContainsFunc(t.events, func(e trail.Event) bool {
		return e.Kind == trail.Received && e.Session == session && e.Actor == actor
	})
}

// sight separates the two sides of e.
func (t *teller) sight(e trail.Event) Sight {
	s := Sight{Server: e.Actor, Message: e.Message}
	s.Seen = append(s.Seen, Claim{Name: "address", Value: e.Peer.Addr}, t.reverseName(e))
	account := Claim{Name: "account", Value: "none", Note: "nobody logged in"}
	if e.Peer.Account != "" {
		account = Claim{Name: "account", Value: e.Peer.Account, Note: "proven by AUTH"}
	}
	s.Seen = append(s.Seen, account)
	if protection := t.sessionTLS(e); protection != "" {
		s.Seen = append(s.Seen, Claim{Name: "TLS", Value: protection})
	}
	s.Seen = append(s.Seen, t.rules(e)...)

	s.Claimed = append(s.Claimed, helloClaim(e))
	if path := orEmpty(fact(e, "reverse-path"), t.spokenPath(e)); path != "" {
		s.Claimed = append(s.Claimed, Claim{Name: "envelope from", Value: path, Note: accountNote(path, e.Peer.Account)})
	}
	return t.headerClaims(s, e)
}

// headerClaims adds the fields that were in the message when it came.
func (t *teller) headerClaims(s Sight, e trail.Event) Sight {
	for _, field := range e.Header {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		c := Claim{Name: name, Value: decoded(value)}
		switch {
		case strings.EqualFold(name, "From"):
			c.Note = accountNote(value, e.Peer.Account)
		case strings.EqualFold(name, "Received"):
			c.Note, c.Doubtful = "was in the message when it came; no server of this waybill wrote it", true
			if writer := t.writer(field); writer != "" {
				c.Note, c.Doubtful = "written by "+writer+", whose own record is in this waybill", false
			}
		}
		s.Claimed = append(s.Claimed, c)
	}
	return s
}

// writer returns the server of this story that added a field to a message.
func (t *teller) writer(field string) string {
	for _, e := range t.events {
		if e.Kind != trail.Accepted {
			continue
		}
		for _, added := range e.Header {
			if strings.Join(strings.Fields(added), " ") == strings.Join(strings.Fields(field), " ") {
				return e.Actor
			}
		}
	}
	return ""
}

func (t *teller) reverseName(e trail.Event) Claim {
	c := Claim{Name: "reverse name", Value: e.Peer.Name, Note: "leads back to the address"}
	if c.Value != "" {
		return c
	}
	for _, r := range t.events {
		if r.Kind == trail.ReverseLookup && r.Session == e.Session && r.Actor == e.Actor {
			return Claim{Name: c.Name, Value: "unknown", Note: unnamed(r)}
		}
	}
	return Claim{Name: c.Name, Value: "not looked up"}
}

// rules are the decisions in the same session.
func (t *teller) rules(e trail.Event) []Claim {
	var rules []Claim
	for _, d := range t.events {
		if d.Decision == nil || d.Session != e.Session || d.Actor != e.Actor || d.Kind != trail.Decided && d.Kind != trail.Refused {
			continue
		}
		c := Claim{Name: "rule", Value: d.Decision.Rule, Note: joinTexts(" ", d.Decision.Question, d.Decision.Outcome)}
		if d.Recipient != "" {
			c.Note += " (" + d.Recipient + ")"
		}
		rules = append(rules, c)
	}
	return rules
}

func helloClaim(e trail.Event) Claim {
	c := Claim{Name: "HELO name", Value: e.Peer.Hello}
	switch {
	case c.Value == "":
		c.Value = "none"
	case e.Peer.Name == "":
		c.Note = "there is no name to compare it with"
	case strings.EqualFold(strings.TrimSuffix(c.Value, "."), strings.TrimSuffix(e.Peer.Name, ".")):
		c.Note = "is the reverse name"
	default:
		c.Note, c.Doubtful = "is not the reverse name", true
	}
	return c
}
