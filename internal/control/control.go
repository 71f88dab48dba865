// Package control is how the other commands speak to a running server: JSON over HTTP on a socket in the data
// directory that only its owner can open.
package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// SocketName is the socket's name in the data directory.
const SocketName = "control.sock"

// Server serves the socket.
type Server struct {
	http *http.Server
	path string
}

// maxRequest bounds a request's body.
const maxRequest = 1 << 20

// Listen opens the socket, removing one that a dead server left. The caller must hold the lock of the data directory, so that no
// other server can be alive on it.
func Listen(path string, node Node, logger *slog.Logger) (*Server, error) {
	l, err := listenPrivately(path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	s := &Server{path: path}
	s.http = &http.Server{Handler: routes(node), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
	go s.http.Serve(l) // ends with Close
	return s, nil
}

// listenPrivately opens the socket in a directory that only we can enter, and moves it to path once it has its mode: at no
// moment can anybody else connect. The move replaces a socket that a dead server left.
func listenPrivately(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".c")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	private := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: private, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // its name is another one then
	if err := errors.Join(os.Chmod(private, 0o600), os.Rename(private, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close ends the server and removes the socket.
func (s *Server) Close() error { return errors.Join(s.http.Close(), s.unlink()) }

// Shutdown removes the socket and ends the server when the requests under way have been answered; those that are not when
// ctx is done are broken off, which is an error.
func (s *Server) Shutdown(ctx context.Context) error {
	err := errors.Join(s.unlink(), s.http.Shutdown(ctx))
	if ctx.Err() != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}

func (s *Server) unlink() error {
	if removed := os.Remove(s.path); !errors.Is(removed, fs.ErrNotExist) {
		return removed
	}
	return nil
}
