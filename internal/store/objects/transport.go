package objects

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Bounds of the connections to a store.
const (
	maxConns     = 256
	maxIdle      = 32
	idleTime     = 60 * time.Second
	dialTime     = 5 * time.Second
	maxErrorBody = 64 << 10
)

func newTransport(o Options) http.RoundTripper {
	dialer := &net.Dialer{Timeout: min(dialTime, o.Timeout), KeepAlive: 15 * time.Second}
	return &transport{&http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, MaxConnsPerHost: maxConns, MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout: idleTime, TLSHandshakeTimeout: min(dialTime, o.Timeout), ExpectContinueTimeout: time.Second,
		DisableCompression: true, // what is stored is what is meant
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		ForceAttemptHTTP2:  false,
	}}
}

// transport looks at replies before the library does, which takes every 404 for "no such object", whoever says it.
type transport struct{ http.RoundTripper }

// notS3 is a reply that no S3 gives.
type notS3 struct {
	status int
	begins string
}

// Error implements error.
func (e *notS3) Error() string {
	return fmt.Sprintf("answers %d and no words of S3: %q", e.status, e.begins)
}

// errBroken stands for io.EOF, of which the library makes a text of its own with the URL in it.
var errBroken = errors.New("the connection was broken off")

// RoundTrip implements http.RoundTripper. Errors besides those of the network: notS3.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	reply, err := t.RoundTripper.RoundTrip(r)
	if errors.Is(err, io.EOF) {
		return nil, errBroken
	}
	if err != nil || reply.StatusCode < 300 || r.Method == http.MethodHead {
		return reply, err
	}
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxErrorBody))
	_ = reply.Body.Close()
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if !bytes.Contains(body, []byte("<Code>")) {
		return nil, &notS3{reply.StatusCode, shorten(string(body[:min(len(body), 60)]))}
	}
	reply.Body = io.NopCloser(bytes.NewReader(body))
	return reply, nil
}
