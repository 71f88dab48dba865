package s3test

import (
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// Proxy stands between a client and a server and does to requests what a test wants.
type Proxy struct {
	URL *url.URL

	mu     sync.Mutex
	wrong  func(http.ResponseWriter, *http.Request) bool
	change func(*http.Request)
	reply  func(*http.Response) error
}

// NewProxy starts a proxy before s and ends it with the test.
func NewProxy(tb testing.TB, s *Server) *Proxy {
	tb.Helper()
	p, _ := newProxy(tb, s, (*httptest.Server).Start)
	return p
}

// NewTLSProxy starts one that speaks HTTPS, with a certificate that these authorities have signed.
func NewTLSProxy(tb testing.TB, s *Server) (*Proxy, *x509.CertPool) {
	tb.Helper()
	p, server := newProxy(tb, s, (*httptest.Server).StartTLS)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return p, pool
}

func newProxy(tb testing.TB, s *Server, start func(*httptest.Server)) (*Proxy, *httptest.Server) {
	tb.Helper()
	p := &Proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(s.Endpoint())
			r.Out.Host = r.In.Host // the signature covers it
			if _, change, _ := p.now(); change != nil {
				change(r.Out)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if _, _, reply := p.now(); reply != nil {
				return reply(r)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wrong, _, _ := p.now(); wrong != nil && wrong(w, r) {
			return
		}
		forward.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not like the certificate
	start(server)
	tb.Cleanup(func() { p.Heal(); server.CloseClientConnections(); server.Close() })
	p.URL, _ = url.Parse(server.URL)
	return p, server
}

func (p *Proxy) now() (func(http.ResponseWriter, *http.Request) bool, func(*http.Request), func(*http.Response) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong, p.change, p.reply
}

// Answer has a function answer requests; where it returns false they go on to the server.
func (p *Proxy) Answer(f func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = f
}

// Change has a function change requests on their way.
func (p *Proxy) Change(f func(*http.Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change = f
}

// Reply has a function change replies on their way.
func (p *Proxy) Reply(f func(*http.Response) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reply = f
}

// Heal ends all of that.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong, p.change, p.reply = nil, nil, nil
}

// Flip returns a reader that reads what r reads, with one bit of the octet at that place changed.
func Flip(r io.ReadCloser, at int) io.ReadCloser { return &flipped{ReadCloser: r, at: at} }

type flipped struct {
	io.ReadCloser
	at int // from here
}

// Read implements io.Reader.
func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.at >= 0 && f.at < n {
		p[f.at] ^= 1
	}
	f.at -= n
	return n, err
}
