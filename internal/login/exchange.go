package login

import (
	"context"
	"errors"
	"fmt"

	"waybill/internal/directory"
	"waybill/internal/scram"
)

// Mechanisms returns the SASL mechanisms without a password that a connection can offer, the best first. binding is
// scram.Binding's.
func (s *Service) Mechanisms(binding []byte) []string {
	if !s.Directory.OffersSCRAM() {
		return nil
	}
	return scram.Mechanisms(binding)
}

// Exchange is one login by SCRAM.
type Exchange struct {
	service   *Service
	client    Client
	mechanism string
	server    *scram.Server

	ctx     context.Context // of the call of Next that is under way
	account directory.Account
	known   bool
}

// SCRAM begins a login by one of Mechanisms.
func (s *Service) SCRAM(c Client, mechanism string, binding []byte) (*Exchange, error) {
	e := &Exchange{service: s, client: c, mechanism: mechanism}
	var err error
	e.server, err = scram.NewServer(e.keys, binding, mechanism == scram.SHA256Plus)
	return e, err
}

// Next takes a message of the client and returns the answer to it. done says that the client has proven that it knows
// the password, and the answer proves to the client that we know the account. Errors: *Refusal, those of the store.
func (e *Exchange) Next(ctx context.Context, message []byte) (answer []byte, done bool, err error) {
	e.ctx = ctx
	answer, done, err = e.server.Next(message)
	login, rule := e.server.Login(), "AUTH "+e.mechanism
	switch {
	case errors.Is(err, scram.ErrProof) || done && !e.known:
		return nil, false, e.service.failed(ctx, e.client, rule, login)
	case errors.Is(err, scram.ErrExchange):
		return nil, false, refusal(ErrMalformed, login, "refused", rule)
	case err != nil:
		return nil, false, err
	}
	if done {
		e.service.Guard.Succeeded(e.client.Addr, login)
	}
	return answer, done, nil
}

// Account returns who has logged in, once Next was done.
func (e *Exchange) Account() directory.Account { return e.account }

// keys is called within Next, with the first message.
func (e *Exchange) keys(login string) (k scram.Keys, err error) {
	if err := e.service.admit(e.client, "AUTH "+e.mechanism, e.server.Identity(), login); err != nil {
		return k, err
	}
	e.account, k, e.known, err = e.service.Directory.SCRAM(e.ctx, login)
	if err != nil {
		return k, fmt.Errorf("login of %q: %w", login, err)
	}
	return k, nil
}
