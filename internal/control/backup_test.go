package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// failing is a node whose backup fails behind so many octets.
type failing struct {
	Node
	behind int
	err    error
}

func (f failing) Backup(_ context.Context, w io.Writer) error {
	_, err := w.Write(make([]byte, f.behind))
	return errors.Join(err, f.err)
}

// TestBackupOverTheSocket: the octets come as they are sent, and an error wherever it happens.
func TestBackupOverTheSocket(t *testing.T) {
	t.Parallel()
	for _, behind := range []int{0, 100, 1 << 20} {
		for _, want := range []error{nil, errors.New("no space left on device\nat 100 % of it")} {
			data := t.TempDir()
			s, err := Listen(filepath.Join(data, SocketName), failing{behind: behind, err: want}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(data)
			var got bytes.Buffer
			err = c.Backup(t.Context(), &got)
			if got.Len() != behind || (err == nil) != (want == nil) || err != nil && !strings.Contains(err.Error(), want.Error()) {
				t.Errorf("%d octets, %v: %d octets, %v", behind, want, got.Len(), err)
			}
			if err := errors.Join(c.Close(), s.Close()); err != nil {
				t.Error(err)
			}
		}
	}
}

// slow is a node whose backup ends when it is told to.
type slow struct {
	Node
	begun, end chan struct{}
}

func (s slow) Backup(_ context.Context, w io.Writer) error {
	close(s.begun)
	<-s.end
	_, err := w.Write([]byte("all of it"))
	return err
}

// TestShutdownWaits: a request under way is answered before the server ends, and no other is taken.
func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	node := slow{begun: make(chan struct{}), end: make(chan struct{})}
	s, err := Listen(filepath.Join(data, SocketName), node, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(data)
	defer c.Close()
	var got bytes.Buffer
	asked, ended := make(chan error, 1), make(chan error, 1)
	go func() { asked <- c.Backup(t.Context(), &got) }()
	<-node.begun
	go func() { ended <- s.Shutdown(t.Context()) }()
	for c.Answers() {
		runtime.Gosched()
	}
	select {
	case err := <-ended:
		t.Errorf("ended before the answer: %v", err)
	default:
	}
	close(node.end)
	if err := errors.Join(<-asked, <-ended); err != nil || got.String() != "all of it" {
		t.Errorf("%q, %v", got.String(), err)
	}
}
