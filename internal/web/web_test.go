package web

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestServe(t *testing.T) {
	t.Parallel()
	health := make(chan error, 1)
	s := New(Options{
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "numbers\n") }),
		Health:  func() error { return <-health }, Logger: slog.New(slog.DiscardHandler),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(t.Context(), l) }()
	for _, c := range []struct {
		method, path string
		health       error
		status       int
		body         string
	}{
		{"GET", "/metrics", nil, 200, "numbers\n"},
		{"GET", "/healthz", nil, 200, "ok\n"},
		{"GET", "/healthz", errors.New("shutting down"), 503, "shutting down\n"},
		{"POST", "/healthz", nil, 405, ""},
		{"GET", "/", nil, 404, ""},
	} {
		if c.path == "/healthz" && c.method == "GET" {
			health <- c.health
		}
		req, _ := http.NewRequest(c.method, "http://"+l.Addr().String()+c.path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || c.body != "" && string(body) != c.body {
			t.Errorf("%s %s: %d %q", c.method, c.path, resp.StatusCode, body)
		}
	}
	req, _ := http.NewRequest("GET", "http://"+l.Addr().String()+"/metrics", nil)
	req.Header.Set("X-Long", strings.Repeat("x", 4*headerBytes))
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a long header: %s", resp.Status)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
