package smtp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/mail"
)

// policies makes fake sessions and keeps what they took.
type policies struct {
	mechanisms []string
	needTLS    bool // for AUTH

	mu       sync.Mutex
	taken    int
	messages []string // content of each message that takeMessage did not take yet
	logins   []string
	resets   int
	closed   []error
	last     *Conn
}

func (p *policies) newSession(_ context.Context, c *Conn) (Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = c
	return &fakeSession{p: p, conn: c}, nil
}

// fakeSession refuses nobody@…, denies MAIL from denied@…, panics for panic@…, and takes every other message; from early@…
// and full@… without reading it, the one for good, the other not.
type fakeSession struct {
	p       *policies
	conn    *Conn
	reverse string // local-part
}

func (f *fakeSession) Hello(_ context.Context, name string, _ bool) mail.Status {
	return mail.Status{Code: 250, Text: "mail.sendingemail.com Hello " + name + " [192.0.2.24], pleased to meet you"}
}

func (f *fakeSession) AuthMechanisms() []string {
	if f.p.needTLS && f.conn.TLS() == nil {
		return nil
	}
	return f.p.mechanisms
}

func (f *fakeSession) Auth(_ context.Context, mechanism string, c Credentials) mail.Status {
	if f.p.needTLS && f.conn.TLS() == nil {
		return mail.NewStatus(538, "5.7.11", "Encryption required for the requested authentication mechanism")
	}
	f.p.mu.Lock()
	f.p.logins = append(f.p.logins, mechanism+" "+c.Username)
	f.p.mu.Unlock()
	if c.Username != "me" || c.Password != "secret" {
		return mail.NewStatus(535, "5.7.8", "Authentication credentials invalid")
	}
	return mail.NewStatus(235, "2.7.0", "Authentication succeeded")
}

// Exchange is a mechanism that counts: 1 is answered with 2, 3 with 4, and so on. 9 is the password.
func (f *fakeSession) Exchange(string) Exchange { return fakeExchange{} }

type fakeExchange struct{}

func (fakeExchange) Next(_ context.Context, response []byte) ([]byte, mail.Status) {
	switch n, err := strconv.Atoi(string(response)); {
	case err != nil:
		return nil, mail.NewStatus(501, "5.5.2", "Not a number")
	case n == 9:
		return nil, mail.NewStatus(235, "2.7.0", "Authentication succeeded")
	default:
		return []byte(strconv.Itoa(n + 1)), mail.Status{}
	}
}

func (f *fakeSession) Mail(_ context.Context, reverse mail.Address, _ MailParams) mail.Status {
	f.reverse = reverse.Local
	switch reverse.Local {
	case "denied":
		return mail.NewStatus(550, "5.7.1", "Denied")
	case "panic":
		panic("told to")
	case "nonsense":
		return mail.Status{}
	}
	return mail.NewStatus(250, "2.1.0", reverse.String()+"... Sender ok")
}

func (f *fakeSession) Rcpt(_ context.Context, forward mail.Address, _ RcptParams) mail.Status {
	if forward.Local == "nobody" {
		return mail.NewStatus(550, "5.1.1", forward.String()+"... User unknown")
	}
	return mail.NewStatus(250, "2.1.5", forward.String()+"... Recipient ok")
}

func (f *fakeSession) Data(_ context.Context, r io.Reader) mail.Status {
	switch f.reverse {
	case "early":
		return mail.NewStatus(250, "2.0.0", "Taken unread")
	case "full":
		return mail.NewStatus(452, "4.3.1", "No room")
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, r); err != nil {
		return mail.StatusOf(err)
	}
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	f.p.messages = append(f.p.messages, b.String())
	f.p.taken++
	if strings.Contains(b.String(), "X-Refuse:") {
		return mail.NewStatus(550, "5.7.1", "Refused")
	}
	return mail.NewStatus(250, "2.0.0", fmt.Sprintf("ID%d Message accepted for delivery", f.p.taken))
}

func (f *fakeSession) Reset() {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	f.p.resets++
}

func (f *fakeSession) Close(err error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	f.p.closed = append(f.p.closed, err)
}

// takeMessage returns the oldest message that was not taken yet.
func (p *policies) takeMessage() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.messages) == 0 {
		return "", false
	}
	m := p.messages[0]
	p.messages = p.messages[1:]
	return m, true
}

// testTLS returns the configurations of a server with a certificate for mail.test and of a client that trusts it.
func testTLS(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.test"}, DNSNames: []string{"mail.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0), // virtual time begins in 2000
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: roots, ServerName: "mail.test", MinVersion: tls.VersionTLS12}
}
