// Package control is how the other commands speak to a running server: JSON over HTTP on a socket in the data
// directory that only its owner can open.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

// SocketName is the socket's name in the data directory.
const SocketName = "control.sock"

// Node is what a running server lets be done to it.
type Node interface {
	AddAccount(ctx context.Context, addr mail.Address, password string) error
	SetPassword(ctx context.Context, addr mail.Address, password string) error
	Events(ctx context.Context, id mail.ID) ([]trail.Event, error)
	Visits(ctx context.Context, q trail.Query) (trail.Visits, error)
}

// Server serves the socket.
type Server struct {
	http *http.Server
	node Node
	path string
}

// maxRequest bounds a request's body.
const maxRequest = 64 << 10

// Listen opens the socket, removing one that a dead server left. The caller must hold the store's lock, so that no
// other server can be alive on it.
func Listen(path string, node Node, logger *slog.Logger) (*Server, error) {
	l, err := listenPrivately(path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	s := &Server{node: node, path: path}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /accounts", account(node.AddAccount))
	mux.HandleFunc("POST /accounts/password", account(node.SetPassword))
	mux.HandleFunc("GET /messages/{id}/events", s.events)
	mux.HandleFunc("POST /visits", s.visits)
	s.http = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
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
func (s *Server) Close() error {
	err := s.http.Close()
	if removed := os.Remove(s.path); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

type accountRequest struct {
	Address  mail.Address `json:"address"`
	Password string       `json:"password"`
}

type errorReply struct {
	Error string `json:"error"`
}

// account serves what is done with an account and a password.
func account(do func(ctx context.Context, addr mail.Address, password string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req accountRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&req); err != nil {
			reply(w, http.StatusBadRequest, errorReply{"the request cannot be read"}) // never its text: it holds a password
			return
		}
		if err := do(r.Context(), req.Address, req.Password); err != nil {
			reply(w, http.StatusUnprocessableEntity, errorReply{err.Error()})
			return
		}
		reply(w, http.StatusCreated, struct{}{})
	}
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	id, err := mail.ParseID(r.PathValue("id"))
	if err != nil {
		reply(w, http.StatusBadRequest, errorReply{err.Error()})
		return
	}
	events, err := s.node.Events(r.Context(), id)
	if err != nil {
		reply(w, http.StatusInternalServerError, errorReply{err.Error()})
		return
	}
	reply(w, http.StatusOK, events)
}

func (s *Server) visits(w http.ResponseWriter, r *http.Request) {
	var q trail.Query
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&q); err != nil {
		reply(w, http.StatusBadRequest, errorReply{"the request cannot be read: " + err.Error()})
		return
	}
	visits, err := s.node.Visits(r.Context(), q)
	if err != nil {
		reply(w, http.StatusInternalServerError, errorReply{err.Error()})
		return
	}
	reply(w, http.StatusOK, visits)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a caller that is gone needs no answer
}

// Client speaks to a running server.
type Client struct {
	http http.Client
}

// NewClient returns a client for the server with that data directory.
func NewClient(data string) *Client {
	path := filepath.Join(data, SocketName)
	return &Client{http: http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}},
	}}
}

// AddAccount creates an account with its mailbox.
func (c *Client) AddAccount(ctx context.Context, addr mail.Address, password string) error {
	return c.account(ctx, "/accounts", addr, password)
}

// SetPassword gives an account another password.
func (c *Client) SetPassword(ctx context.Context, addr mail.Address, password string) error {
	return c.account(ctx, "/accounts/password", addr, password)
}

func (c *Client) account(ctx context.Context, path string, addr mail.Address, password string) error {
	body, err := json.Marshal(accountRequest{addr, password})
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, body, nil)
}

// Events returns the waybill of a message.
func (c *Client) Events(ctx context.Context, id mail.ID) (events []trail.Event, err error) {
	err = c.call(ctx, http.MethodGet, "/messages/"+string(id)+"/events", nil, &events)
	return events, err
}

// Visits returns what the trail tells of a peer or of a session.
func (c *Client) Visits(ctx context.Context, q trail.Query) (visits trail.Visits, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return visits, err
	}
	err = c.call(ctx, http.MethodPost, "/visits", body, &visits)
	return visits, err
}

// Close frees the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://waybill"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the store is in use, but the server does not answer on its control socket: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		var e errorReply
		if json.NewDecoder(io.LimitReader(resp.Body, maxRequest)).Decode(&e) != nil || e.Error == "" {
			return fmt.Errorf("the server answers %s", resp.Status)
		}
		return errors.New(e.Error)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
