package maildrop

import (
	"context"
	"time"

	"waybill/internal/login"
	"waybill/internal/pop3"
)

// exchange is one login by SCRAM.
type exchange struct {
	session *session
	scram   *login.Exchange
	err     error // it could not begin
	began   time.Time
	proven  bool // what is left is that the client has seen our proof
}

// Next implements pop3.Exchange. Our proof is one more challenge, which the client answers with nothing (RFC 5034 §4).
func (x *exchange) Next(ctx context.Context, response []byte) (challenge []byte, drop pop3.Maildrop, err error) {
	switch {
	case x.err != nil:
		return nil, nil, x.session.refused(x.err)
	case x.proven && len(response) > 0:
		return nil, nil, pop3.ErrResponse
	case x.proven:
		drop, err := x.session.admitted(ctx, x.scram.Account(), x.began)
		return nil, drop, err
	}
	challenge, x.proven, x.err = x.scram.Next(ctx, response)
	if x.err != nil {
		return nil, nil, x.session.refused(x.err)
	}
	return challenge, nil, nil
}
