package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"waybill/internal/mail"
)

// Server serves SMTP on listeners. Set the exported fields before Serve and leave them then.
type Server struct {
	Hostname    string      // in the greeting and the farewell
	Limits      Limits      // zero fields mean defaults
	TLS         *tls.Config // nil: no STARTTLS
	ImplicitTLS bool        // TLS from the first byte (RFC 8314)
	// NormaliseLineEnds makes CR LF of a bare CR or LF in content, where otherwise the message is refused. The end of the
	// content stays CR LF . CR LF alone. For clients that log in: what they send may be altered (RFC 6409 §8).
	NormaliseLineEnds bool
	Admission         *Admission // shared with other servers; nil: one of its own, by Limits
	// NewSession makes the policy of a connection. Its error refuses the connection: 554 or 421.
	NewSession func(context.Context, *Conn) (Session, error)
	// TurnedAway is told, from the accept loop too, of each connection that became no session: there were too many (then
	// status says so), or TLS failed. nil: nobody is.
	TurnedAway func(peer net.Addr, status mail.Status, err error)
	Logger     *slog.Logger // nil: slog.Default()

	mu        sync.Mutex
	draining  bool
	listeners map[net.Listener]bool
	sessions  map[*wire]struct{}
	stopping  chan struct{}  // closed by Shutdown; nil before the first session
	running   sync.WaitGroup // sessions
}

// Pauses after an accept that failed for lack of something, as file descriptors.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts connections on l until Shutdown (then it returns nil), until ctx is done, or until l fails.
// When ctx is done the sessions of the server are cut off. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if !s.addListener(l) {
		return nil
	}
	defer s.removeListener(l)
	stop := context.AfterFunc(ctx, func() { l.Close(); s.cut() })
	defer stop()
	limits := s.Limits.orDefault()
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			s.start(ctx, nc, &limits)
			continue
		}
		if s.isDraining() {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		s.logger().Error("cannot accept a connection", "listener", l.Addr().String(), "error", err)
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

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

// start runs a session on nc in its own goroutine, the only one of the connection, unless there are too many.
func (s *Server) start(ctx context.Context, nc net.Conn, limits *Limits) {
	w := &wire{Conn: nc, network: networkOf(nc.RemoteAddr())}
	if refusal := s.admit(w, limits); refusal.Code != 0 {
		if !s.ImplicitTLS {
			nc.SetWriteDeadline(time.Now().Add(refusalTimeout))
			nc.Write(appendReply(nil, refusal))
		}
		nc.Close()
		s.turnedAway(w, refusal, nil)
		return
	}
	go func() {
		defer s.release(w)
		s.serveConn(ctx, w, limits)
	}()
}

func (s *Server) turnedAway(w *wire, status mail.Status, err error) {
	if s.TurnedAway != nil {
		s.TurnedAway(w.RemoteAddr(), status, err)
	}
}

// refusalTimeout bounds the write that tells a peer that there are too many; it fits into the socket's buffer.
const refusalTimeout = 100 * time.Millisecond

// closeGrace is how long Shutdown waits for sessions that it has cut off.
const closeGrace = 5 * time.Second

// Shutdown stops listening, sends 421 to sessions without a transaction, and lets the others finish theirs.
// When ctx is done first it cuts them off and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining && s.stopping != nil {
		close(s.stopping)
	}
	s.draining = true
	for l := range s.listeners {
		l.Close()
	}
	for w := range s.sessions {
		w.drain()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.cut()
	select {
	case <-done:
	case <-time.After(closeGrace): // policy is stuck in something that must not be interrupted
	}
	return ctx.Err()
}

// cut closes every connection.
func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.sessions {
		w.Conn.Close()
	}
}

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.Default()
	}
	return s.Logger
}
