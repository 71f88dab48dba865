package pop3

// reply is what a handler answers. Only the session's loop writes it.
type reply struct {
	ok   bool
	code string // response code without brackets (RFC 2449 §8); "" for none
	text string

	// lines writes the rest of a multi-line reply, of which the loop stuffs the dots and adds the end. After
	// an error of it the connection is dropped: the client must not take a part for the whole.
	lines func(w *stuffer) error
	// message is the number of the message that lines writes, 0 if it is none.
	message int
	// whole says, once lines has returned, whether the client has the whole message with it.
	whole func() bool

	fault bool   // the client's fault: wrong syntax or order
	then  action // after the reply has been written
	end   error  // if not nil, nothing is answered and the session ends for this reason
}

// action is how a session goes on after a reply.
type action uint8

const (
	proceed action = iota
	hangUp
	upgrade // shake hands for TLS
)

func ok(text string) reply { return reply{ok: true, text: text} }

func refuse(code, text string) reply { return reply{code: code, text: text} }

func fault(text string) reply { return reply{text: text, fault: true} }

// last makes r the last reply of the session.
func (r reply) last() reply {
	r.then = hangUp
	return r
}

// line returns the first line of the reply as it is sent.
func (r reply) line() string { return r.String() + "\r\n" }

func (r reply) String() string {
	s := "-ERR"
	if r.ok {
		s = "+OK"
	}
	if r.code != "" {
		s += " [" + r.code + "]"
	}
	if r.text != "" {
		s += " " + r.text
	}
	return s
}
