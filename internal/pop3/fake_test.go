package pop3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// backend is a policy with one account, you@example.test, password "open sesame", that notes what it is asked.
type backend struct {
	mu         sync.Mutex
	messages   []string // contents; the first is message 1
	sizes      map[int]int64
	events     []string
	cleartext  bool
	mechanisms []string
	busy       bool  // another session has the maildrop
	banned     bool  // logins are refused after too many that failed
	broken     bool  // logins fail for a fault of ours
	failQuit   bool  // deletions fail
	gone       []int // messages removed since the login
	torn       []int // messages whose content breaks off
}

func newBackend(messages ...string) *backend {
	return &backend{messages: messages, cleartext: true, sizes: map[int]int64{}}
}

func (b *backend) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, fmt.Sprintf(format, args...))
}

func (b *backend) noted() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.events, "\n")
}

func (b *backend) session(_ context.Context, c *Conn) Session { return &fakeSession{b, c} }

type fakeSession struct {
	*backend
	conn *Conn
}

func (s *fakeSession) CleartextLogin() bool { return s.cleartext || s.conn.TLS() != nil }

func (s *fakeSession) Login(_ context.Context, user, password string) (Maildrop, error) {
	if user == "panic" {
		panic("as the test demands")
	}
	if s.banned {
		return nil, fmt.Errorf("login: %w", &BannedError{After: "15 minutes"})
	}
	if s.broken {
		return nil, errors.New("disk on fire at /var/lib/secret")
	}
	if !strings.EqualFold(user, "you@example.test") || password != "open sesame" {
		return nil, fmt.Errorf("login: %w", ErrAuth)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		return nil, ErrInUse
	}
	s.busy = true
	return &fakeDrop{s.backend}, nil
}

func (s *fakeSession) Mechanisms() []string { return s.backend.mechanisms }

func (s *fakeSession) Exchange(string) Exchange { return &fakeExchange{s} }

// fakeExchange counts: 1 is answered with 2, 3 with 4, and so on. 9 is the password.
type fakeExchange struct{ s *fakeSession }

func (x *fakeExchange) Next(ctx context.Context, response []byte) ([]byte, Maildrop, error) {
	switch n, err := strconv.Atoi(string(response)); {
	case err != nil:
		return nil, nil, ErrResponse
	case n == 8:
		return nil, nil, fmt.Errorf("login: %w", ErrAuth)
	case n == 9:
		drop, err := x.s.Login(ctx, "you@example.test", "open sesame")
		return nil, drop, err
	default:
		return []byte(strconv.Itoa(n + 1)), nil, nil
	}
}

func (s *fakeSession) Close(err error) { s.note("close: %v", err) }

type fakeDrop struct{ *backend }

func (d *fakeDrop) Messages() []MessageInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []MessageInfo
	for i, m := range d.messages {
		size := int64(len(m))
		if !strings.HasSuffix(m, "\r\n") && m != "" {
			size += 2
		}
		if s, ok := d.sizes[i+1]; ok {
			size = s
		}
		list = append(list, MessageInfo{Size: size, UIDL: fmt.Sprintf("1700000000.%d", i+1)})
	}
	return list
}

func (d *fakeDrop) Open(_ context.Context, n int) (Content, error) {
	for _, g := range d.gone {
		if g == n {
			return nil, fmt.Errorf("open: %w", ErrGone)
		}
	}
	for _, t := range d.torn {
		if t == n {
			return &content{Reader: io.MultiReader(strings.NewReader(d.messages[n-1][:4]), failing{})}, nil
		}
	}
	return &content{Reader: strings.NewReader(d.messages[n-1])}, nil
}

func (d *fakeDrop) Retrieved(n int) { d.note("retrieved %d", n) }

func (d *fakeDrop) Quit(_ context.Context, deleted []int) error {
	if d.failQuit {
		return errors.New("disk full")
	}
	d.note("quit, delete %v", deleted)
	d.mu.Lock()
	defer d.mu.Unlock()
	var kept []string
	for i, m := range d.messages {
		if !bytes.Contains([]byte(fmt.Sprint(deleted)), []byte(fmt.Sprint(i+1))) {
			kept = append(kept, m)
		}
	}
	d.messages = kept
	return nil
}

func (d *fakeDrop) Release() {
	d.note("release")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy = false
}

// content is written in pieces of one octet and more, so that nothing depends on where writes end.
type content struct {
	io.Reader
	closed bool
}

func (c *content) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for size := 1; ; size = size%7 + 1 {
		buf := make([]byte, size)
		k, err := io.ReadFull(c.Reader, buf)
		m, werr := w.Write(buf[:k])
		n += int64(m)
		switch {
		case werr != nil:
			return n, werr
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

func (c *content) Close() error { c.closed = true; return nil }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("bad sector") }
