package pop3

import (
	"context"
	"errors"
	"io"
)

// What a Session or Maildrop says besides success. Any other error is a fault of ours: the client is told to
// try again later and nothing else.
var (
	// ErrAuth: the login name or the password is wrong. Which of the two is not told.
	ErrAuth = errors.New("pop3: wrong login or password")
	// ErrInUse: another session has the maildrop open.
	ErrInUse = errors.New("pop3: maildrop in use")
	// ErrBusy: the password cannot be checked now, because so many others are.
	ErrBusy = errors.New("pop3: too many logins at once")
	// ErrResponse: what the client says is not what the mechanism demands.
	ErrResponse = errors.New("pop3: malformed authentication response")
	// ErrGone: the message was there when the maildrop was opened, but has been removed since.
	ErrGone = errors.New("pop3: message gone")
)

// BannedError refuses a login, whatever the password is, after too many that failed.
type BannedError struct {
	After string // when to try again, in words
}

func (e *BannedError) Error() string { return "pop3: banned for failed logins" }

// Session is the policy behind one connection. Its methods are called by one goroutine.
type Session interface {
	// CleartextLogin says whether the client may send its password now: because TLS is active, or because
	// its address is excepted. While it may not, logins are neither offered nor taken (RFC 2595 §2.2).
	CleartextLogin() bool
	// Mechanisms returns what AUTH is offered for besides PLAIN, the best first; they go through Exchange.
	Mechanisms() []string
	// Exchange begins a login by one of Mechanisms.
	Exchange(mechanism string) Exchange
	// Login opens the maildrop of the account. Errors: ErrAuth, ErrInUse, ErrBusy, BannedError, others.
	Login(ctx context.Context, user, password string) (Maildrop, error)
	// Close ends the session: err is nil after QUIT, else why the connection was lost or given up.
	// It is called once, after the maildrop's Release.
	Close(err error)
}

// Exchange is one login by a SASL mechanism with challenges of its own, in which the client speaks first.
type Exchange interface {
	// Next takes what the client says and returns the next challenge; or the maildrop, and the exchange is over.
	// Errors: those of Login, ErrResponse.
	Next(ctx context.Context, response []byte) (challenge []byte, drop Maildrop, err error)
}

// Maildrop is an account's messages as they were at the login: until Release no other session opens it, and
// mail that comes in meanwhile is not in it. Messages are numbered from 1.
type Maildrop interface {
	// Messages returns the messages in order; it is asked once.
	Messages() []MessageInfo
	// Open returns the content of message n. Errors: ErrGone, others.
	Open(ctx context.Context, n int) (Content, error)
	// Retrieved tells that all of message n has been sent, by RETR or by TOP. It is called once for each n at most.
	Retrieved(n int)
	// Quit removes the messages with those numbers: all of them, or none and an error.
	// It is called only when the client said QUIT after a login.
	Quit(ctx context.Context, deleted []int) error
	// Release lets others open the maildrop. It is called once, whatever happened.
	Release()
}

// MessageInfo is what LIST and UIDL tell about a message.
type MessageInfo struct {
	// Size is the number of octets that RETR sends, before dots are stuffed. A content that does not end in
	// CR LF is sent with one added, which counts.
	Size int64
	// UIDL is the unique id: 1 to 70 characters from 0x21 to 0x7E, the same in every session (RFC 1939 §7).
	UIDL string
}

// Content is a message's octets: lines that end in CR LF.
type Content interface {
	io.WriterTo
	io.Closer
}
