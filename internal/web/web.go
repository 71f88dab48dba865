// Package web serves a node's metrics and health over HTTP.
package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Options are what is served. All are required.
type Options struct {
	Metrics http.Handler
	Health  func() error // nil, or why the node is not well: shown as it is
	Logger  *slog.Logger
}

// Server is one HTTP server.
type Server struct{ http *http.Server }

// Bounds of requests and connections: whoever asks here needs little.
const (
	headerTime     = 5 * time.Second
	requestTime    = 10 * time.Second
	replyTime      = 30 * time.Second
	idleTime       = time.Minute
	headerBytes    = 8 << 10
	maxConnections = 64
)

// New returns a server.
func New(o Options) *Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.Metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { health(w, o.Health()) })
	return &Server{&http.Server{
		Handler: mux, ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: replyTime,
		IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug), // what strangers send
	}}
}

func health(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	text := "ok"
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = err.Error()
	}
	io.WriteString(w, text+"\n") // a caller that is gone needs no answer
}

// Serve serves l until Shutdown, or until ctx is done.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	if err := s.http.Serve(netutil.LimitListener(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops listening and lets requests under way finish until ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	return errors.Join(err, s.http.Close())
}
