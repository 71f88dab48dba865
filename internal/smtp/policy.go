package smtp

import (
	"context"
	"io"

	"waybill/internal/mail"
)

// Session decides about one connection. The engine calls it from one goroutine, and only with commands
// that are well formed, in order, and within the limits. Each reply that is a success (2xx) takes the
// dialogue one step further; a reply 421 ends the connection. ctx ends when the server is stopped hard.
type Session interface {
	// Hello answers HELO, or EHLO when extended; the engine adds the extensions to the first line.
	Hello(ctx context.Context, name string, extended bool) mail.Status
	// AuthMechanisms returns what AUTH is offered for at this moment: PLAIN, LOGIN, and others that Exchange knows.
	// None: AUTH is not offered.
	AuthMechanisms() []string
	// Auth checks a login by PLAIN or LOGIN. While no mechanism is offered it is called with empty credentials, to say why.
	Auth(ctx context.Context, mechanism string, c Credentials) mail.Status
	// Exchange begins a login by another mechanism that is offered.
	Exchange(mechanism string) Exchange
	// Mail begins a transaction.
	Mail(ctx context.Context, reverse mail.Address, p MailParams) mail.Status
	// Rcpt adds a recipient to it.
	Rcpt(ctx context.Context, forward mail.Address, p RcptParams) mail.Status
	// Data takes the content: CR LF line ends, dots unstuffed, io.EOF only after CR LF . CR LF. content is an
	// io.WriterTo as well, which saves a copy. An error of it (ErrBareLineEnd, ErrTooLarge, or the connection's)
	// means that nothing may be kept; the engine then gives the reply, whatever Data returns. What Data leaves
	// unread is skipped.
	Data(ctx context.Context, content io.Reader) mail.Status
	// Reset says that the transaction is over: by RSET, HELO, EHLO, STARTTLS, or after Data.
	Reset()
	// Close says that the connection is over; err is nil after QUIT.
	Close(err error)
}

// Exchange is one login by a mechanism with challenges of its own, in which the client speaks first.
type Exchange interface {
	// Next takes what the client says and returns the next challenge, or the reply that ends the exchange if it has a code.
	Next(ctx context.Context, response []byte) (challenge []byte, status mail.Status)
}

// Credentials are what a client logs in with.
type Credentials struct {
	Identity string // to act as (PLAIN only); usually empty
	Username string
	Password string
}

// MailParams are the parameters of MAIL.
type MailParams struct {
	Size int64         // octets as declared (RFC 1870); 0: not declared
	Body mail.BodyType // as declared (RFC 6152)
	UTF8 bool          // SMTPUTF8: addresses and header may hold UTF-8 (RFC 6531)
	DSN  mail.DSN      // RET and ENVID (RFC 3461)
}

// RcptParams are the parameters of RCPT.
type RcptParams struct {
	Report mail.Report // NOTIFY and ORCPT (RFC 3461)
}
