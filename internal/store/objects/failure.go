package objects

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
)

// scope is what a failure says something about.
type scope int

const (
	theStore scope = iota
	anObject       // only: the store works
)

// failure is why a request failed. Its text says what to do.
type failure struct {
	about   scope
	kind    string // failures of one kind are told once
	passing bool   // it may pass within a moment
	text    string
	cause   error // one of this package, or nil
}

// Error implements error.
func (f *failure) Error() string { return f.text }

// Unwrap gives ErrNotFound, ErrExists or ErrCorrupt, if it is that. What the library says stays here: it may have more in it than a log should.
func (f *failure) Unwrap() error { return f.cause }

// explain says what a request failed of.
func (b *Bucket) explain(ctx context.Context, err error) *failure {
	var spoken minio.ErrorResponse
	switch {
	case errors.Is(err, ErrCorrupt): // it may have been damaged on the way
		return &failure{about: anObject, kind: "corrupt", passing: true, text: err.Error(), cause: ErrCorrupt}
	case errors.As(err, &spoken) && spoken.StatusCode != 0:
		return b.explainReply(spoken)
	case ctx.Err() != nil || isTimeout(err):
		return &failure{kind: "slow", passing: true, text: fmt.Sprintf("%s did not answer in time (%s); look at its load and at the network between", b.o.Endpoint.Host, b.o.Timeout)}
	}
	if wrong, ok := errors.AsType[*notS3](err); ok {
		return &failure{kind: "not S3", passing: true, text: fmt.Sprintf("%s %s; look whether endpoint leads to the S3 service itself", b.o.Endpoint.Host, wrong)}
	}
	if text, ok := explainTLS(err); ok {
		return &failure{kind: "TLS", text: fmt.Sprintf("the certificate of %s is not accepted: %s; give it one for that name from an authority that this system knows", b.o.Endpoint.Host, text)}
	}
	if errors.Is(err, errBroken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &failure{kind: "away", passing: true, text: fmt.Sprintf("%s broke off the connection; see whether it runs, and what is between", b.o.Endpoint.Host)}
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return &failure{kind: "away", passing: true, text: fmt.Sprintf("%s cannot be reached: %s; see whether it runs and endpoint is right", b.o.Endpoint.Host, networkText(err))}
	}
	return &failure{kind: "odd", passing: true, text: fmt.Sprintf("%s gave an answer that cannot be used: %s", b.o.Endpoint.Host, shorten(networkText(err)))}
}

// explainReply goes by the codes of S3's error responses.
func (b *Bucket) explainReply(r minio.ErrorResponse) *failure {
	f := &failure{kind: r.Code}
	switch r.Code {
	case "NoSuchKey", "NotFound":
		return &failure{about: anObject, kind: r.Code, text: ErrNotFound.Error(), cause: ErrNotFound}
	case "PreconditionFailed":
		return &failure{about: anObject, kind: r.Code, text: ErrExists.Error(), cause: ErrExists}
	case "ConditionalRequestConflict": // another such request is under way
		f.passing = true
		f.text = fmt.Sprintf("%s has another write of the same object under way (%s)", b.o.Endpoint.Host, r.Code)
	case "InvalidRange":
		return &failure{about: anObject, kind: r.Code, text: "it is shorter than it must be: " + ErrCorrupt.Error(), cause: ErrCorrupt}
	case "NoSuchBucket":
		f.text = fmt.Sprintf("there is no bucket %q at %s; create it, or name another one in bodies", b.o.Bucket, b.o.Endpoint.Host)
	case "SignatureDoesNotMatch":
		f.passing = true // some servers say so where the signed checksum is not that of what came
		f.text = fmt.Sprintf("%s does not accept the secret of the access key, or something between changes what is sent (%s); the secret comes from %s", b.o.Endpoint.Host, r.Code, b.o.Keys.From)
	case "InvalidAccessKeyId", "XAdminUserNotFound", "InvalidToken", "ExpiredToken":
		f.text = fmt.Sprintf("%s does not know the access key, or not any more (%s); it comes from %s", b.o.Endpoint.Host, r.Code, b.o.Keys.From)
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		f.text = fmt.Sprintf("the access key from %s may not do this in bucket %q (%s); it needs to read, write, list and delete there", b.o.Keys.From, b.o.Bucket, r.Code)
	case "RequestTimeTooSkewed", "RequestExpired":
		f.text = fmt.Sprintf("the clocks of this machine and of %s differ too much (%s); set both by NTP", b.o.Endpoint.Host, r.Code)
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect":
		f.text = fmt.Sprintf("the bucket %q is in another region than %q or at another endpoint (%s); set region and endpoint", b.o.Bucket, b.o.Region, r.Code)
	case "XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "EntityTooLarge":
		f.text = fmt.Sprintf("%s has no room left (%s); give it some", b.o.Endpoint.Host, r.Code)
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest", "IncompleteBody":
		f.passing = true
		f.text = fmt.Sprintf("what came to %s is not what was sent (%s); something between damages it", b.o.Endpoint.Host, r.Code)
	default:
		f.passing = r.StatusCode >= 500 || r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusRequestTimeout
		f.text = fmt.Sprintf("%s answers %d %s: %s", b.o.Endpoint.Host, r.StatusCode, shorten(r.Code), shorten(r.Message))
	}
	if r.StatusCode == http.StatusInsufficientStorage {
		f.kind, f.text = "full", fmt.Sprintf("%s has no room left; give it some", b.o.Endpoint.Host)
	}
	return f
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func explainTLS(err error) (string, bool) {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return authority.Error(), true
	case errors.As(err, &host):
		return host.Error(), true
	case errors.As(err, &invalid):
		return invalid.Error(), true
	}
	return "", false
}

// networkText is an error without the URL of its request.
func networkText(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return err.Error()
}

// maxText bounds what is quoted of a server's words.
const maxText = 200

// shorten makes a server's words fit into a line of the log.
func shorten(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
