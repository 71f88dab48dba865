package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"waybill/internal/store/objects"
)

// errEnded is for a server that ended before it could be used.
var errEnded = errors.New("the server has ended")

// Start starts the server and waits until it can be used.
func (s *Server) Start() error {
	args := append(append([]string(nil), s.wrapper...), s.program, "--access", Access, "--secret", Secret, "--port", s.Address(), "--quiet", "--keep-alive",
		"posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data")) // not every file system has extended attributes
	s.process = exec.Command(args[0], args[1:]...)
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		s.process = nil
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	ended := make(chan struct{})
	s.ended = ended
	go func(process *exec.Cmd) {
		defer cancel()
		defer close(ended)
		_ = process.Wait()
	}(s.process)
	err := s.answers(ctx)
	if err == nil {
		return nil
	}
	select {
	case <-ended:
		err = errEnded
	default:
	}
	s.Kill()
	said, _ := os.ReadFile(s.log.Name())
	return fmt.Errorf("the server does not start: %w: %s", err, said)
}

// mark is a bucket that no other server has: by it this one is told from any that listens at its port.
func (s *Server) mark() string { return filepath.Base(s.dir) }

// answers waits until the server answers, and not another. Errors: that of the last question, when ctx is done.
func (s *Server) answers(ctx context.Context) error {
	for {
		b, err := objects.Open(s.Options(s.mark())) // afresh: one that has failed would pause
		if err == nil {
			_, _, err = b.List(ctx, "", "")
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop lets the server end what it does. Kill does not.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server's process at once.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(how syscall.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(how)
	<-s.ended
	s.process = nil
}

// Freeze stops the process without ending it, until Thaw: it takes connections and answers nothing.
func (s *Server) Freeze(tb testing.TB) {
	tb.Helper()
	if err := s.process.Process.Signal(syscall.SIGSTOP); err != nil {
		tb.Fatal("freeze the server:", err)
	}
	for until := time.Now().Add(startTimeout); ; time.Sleep(time.Millisecond) {
		stopped, err := allStopped(s.process.Process.Pid)
		if stopped {
			return
		}
		if err != nil || time.Now().After(until) {
			tb.Fatal("the server does not freeze:", err)
		}
	}
}

// allStopped says whether all threads of a process are stopped, which they are not yet when a signal was sent.
func allStopped(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil { // it has ended
			continue
		}
		if _, state, ok := bytes.Cut(stat, []byte(") ")); !ok || len(state) == 0 || state[0] != 'T' { // the name before has no such thing in it
			return false, nil
		}
	}
	return len(threads) > 0, err
}

// Thaw ends Freeze.
func (s *Server) Thaw() { _ = s.process.Process.Signal(syscall.SIGCONT) }
