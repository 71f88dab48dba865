package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

// Server is the server engine: the wire, the states and the limits of POP3, without policy. The fields are
// not changed once it serves.
type Server struct {
	Hostname    string      // in the greeting
	TLS         *tls.Config // nil: neither STLS nor ImplicitTLS
	ImplicitTLS bool        // TLS from the first byte (port 995, RFC 8314 §3.2)
	Limits      Limits      // the zero value stands for DefaultLimits
	NewSession  func(context.Context, *Conn) Session
	// TurnedAway is told, from the accept loop too, of each connection that became no session: there were too many (err is
	// ErrSessions), or TLS failed. nil: nobody is.
	TurnedAway func(client net.Addr, err error)
	Logger     *slog.Logger // nil: nothing is logged

	mu        sync.Mutex
	listeners map[net.Listener]bool
	present   census
	stopping  bool
	sessions  sync.WaitGroup
}

// Serve accepts connections on l, each with a goroutine of its own, until Shutdown or until ctx is done, which
// cuts every connection off. It closes l and returns when its sessions have ended: nil after either, else why
// no more connections can be accepted.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if !s.begin(l) {
		return nil
	}
	defer s.end(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var mine sync.WaitGroup
	defer mine.Wait()
	for failures := 0; ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			failures = 0
			s.accept(ctx, nc, &mine)
		case s.ended(ctx):
			return nil
		case errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
			return fmt.Errorf("accept: %w", err)
		default: // the process or the machine is short of something
			failures++
			s.logger().Warn("cannot accept a connection", "error", err)
			if !sleep(ctx, min(time.Second, 5*time.Millisecond<<min(failures, 10))) {
				return nil
			}
		}
	}
}

// Shutdown stops accepting, tells idle clients that the server closes, and lets commands under way finish.
// It returns when all sessions have ended, or cuts them off when ctx is done and returns its error. Messages
// marked as deleted without a QUIT stay.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for l := range s.listeners {
		l.Close()
	}
	s.present.each(func(c *Conn) { c.transport.interrupt() })
	s.mu.Unlock()

	done := make(chan struct{})
	go func() { s.sessions.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present.each(func(c *Conn) { c.transport.Close() })
	return fmt.Errorf("sessions cut off: %w", ctx.Err())
}

func (s *Server) begin(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = map[net.Listener]bool{}
	}
	s.listeners[l] = true
	return !s.stopping
}

func (s *Server) end(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) ended(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping || ctx.Err() != nil
}

// accept starts a session, or turns the client away when there are too many.
func (s *Server) accept(ctx context.Context, nc net.Conn, mine *sync.WaitGroup) {
	keepAlive(nc)
	c := newConn(nc, s.limits())
	s.mu.Lock()
	admitted := !s.stopping && s.present.admit(c, s.limits())
	if admitted {
		s.sessions.Add(1)
	}
	s.mu.Unlock()
	if !admitted {
		s.turnAway(nc)
		return
	}
	mine.Go(func() {
		defer s.sessions.Done()
		defer s.leave(c)
		s.serve(ctx, c)
	})
}

func (s *Server) turnAway(nc net.Conn) {
	if !s.ImplicitTLS {
		nc.SetWriteDeadline(time.Now().Add(time.Second)) // the accept loop must not wait for a stranger
		io.WriteString(nc, tooManySessions.line())
	}
	nc.Close()
	s.turnedAway(nc.RemoteAddr(), ErrSessions)
}

// ErrSessions: there are too many sessions, in all or of one address, or the server ends.
var ErrSessions = errors.New("too many POP3 sessions")

func (s *Server) turnedAway(client net.Addr, err error) {
	if s.TurnedAway != nil {
		s.TurnedAway(client, err)
	}
}

// Present returns how many sessions there are now.
func (s *Server) Present() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.present.conns)
}

func (s *Server) leave(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present.leave(c)
}

// serve is the whole life of one connection. Whatever goes wrong in it stays in it.
func (s *Server) serve(ctx context.Context, c *Conn) {
	defer c.transport.Close()
	stop := context.AfterFunc(ctx, func() { c.transport.Close() })
	defer stop()
	log := s.logger().With("session", c.ID(), "client", c.RemoteAddr())
	defer func() {
		if p := recover(); p != nil {
			log.Error("POP3 session panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if s.ImplicitTLS {
		if err := c.startTLS(ctx, s.TLS, s.limits().Handshake); err != nil {
			log.Debug("POP3 session ended", "error", err)
			s.turnedAway(c.RemoteAddr(), err)
			return
		}
	}
	session := &session{server: s, began: time.Now(), limits: s.limits(), conn: c, wire: c.wire, state: authorization}
	if err := session.run(ctx); err != nil {
		log.Debug("POP3 session ended", "error", err)
	}
	c.wire.Conn.Close() // says goodbye in TLS
}

func (s *Server) limits() Limits {
	if s.Limits == (Limits{}) {
		return DefaultLimits()
	}
	return s.Limits
}

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// sleep waits for d; false if ctx was done first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
