package mua

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"

	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/pop3"
	"waybill/internal/scram"
	"waybill/internal/smtp"
)

// Temporary says whether what failed may succeed later as it is: a server that was busy or could not be reached, a DNS that did
// not answer. Of several servers one is enough.
func Temporary(err error) bool {
	switch e := err.(type) {
	case nil:
		return false
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), Temporary)
	case *loginError:
		return errors.Is(e, pop3.ErrInUse)
	case *mail.Error:
		return e.Status.Temporary() && !isPermanent(e.Err)
	case *pop3.RefusedError:
		return e.Code == "SYS/TEMP" || e.Code == "IN-USE" || e.Code == "LOGIN-DELAY" // RFC 2449 §8, RFC 3206
	case *transient, net.Error:
		return true
	}
	if isPermanent(err) {
		return false
	}
	return err == io.ErrUnexpectedEOF || Temporary(errors.Unwrap(err))
}

// isPermanent says whether err will be the same next time, whatever status it came with.
func isPermanent(err error) bool {
	for _, target := range []error{ErrNoTLS, ErrChanged, ErrNoUIDL, smtp.ErrNotOffered, smtp.ErrBareLineEnd, scram.ErrServer, dns.ErrNotFound, context.Canceled} {
		if errors.Is(err, target) {
			return true
		}
	}
	var cert *tls.CertificateVerificationError
	return errors.As(err, &cert)
}

// transient marks the error of a DNS that did not answer.
type transient struct{ error }

func (e *transient) Unwrap() error { return e.error }

// lookupFailed marks the error of a lookup: it is temporary, unless it says that there is nothing.
func lookupFailed(err error) error {
	if err == nil || errors.Is(err, dns.ErrNotFound) {
		return err
	}
	return &transient{err}
}
