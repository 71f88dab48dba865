package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"waybill/internal/smtp"
)

// submit logs in under TLS, by STARTTLS or from the first byte, and sends messages on one session until the connection breaks.
func (l *load) submit(server, worker string, implicit bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	insecure := &tls.Config{InsecureSkipVerify: true}
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	if implicit {
		conn = tls.Client(conn, insecure)
	}
	client := smtp.NewClient(conn, smtp.ClientOptions{Hello: "load.example.test"})
	defer client.Close()
	if client.Greet(ctx) != nil || client.Hello(ctx) != nil {
		return
	}
	if !implicit && (client.StartTLS(ctx, insecure) != nil || client.Hello(ctx) != nil) {
		return
	}
	if client.Auth(ctx, testUser, testPassword) != nil {
		return
	}
	l.transact(ctx, client, worker, toAlice)
}

// idle opens a session that says nothing, and returns its next line when there is one.
func idle(t *testing.T, address string, implicit bool) (greeting string, next func() string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	if implicit {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	r := bufio.NewReader(conn)
	line := func() string {
		text, err := r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		return text
	}
	return line(), line
}

// TestDrainUnderLoad: at SIGTERM idle sessions of every listener are told, and whatever got its 250 on any of them is in a
// mailbox after the restart.
func TestDrainUnderLoad(t *testing.T) {
	s := newServer(t, "")
	s.start()
	farewells := map[string]func() string{}
	for _, l := range []struct {
		address  string
		implicit bool
	}{{s.smtp, false}, {s.submission, false}, {s.submissions, true}, {s.pop3, false}, {s.pop3s, true}} {
		greeting, next := idle(t, l.address, l.implicit)
		want := "421 "
		if strings.HasPrefix(greeting, "+OK") {
			want = "-ERR "
		}
		farewells[want+l.address] = next
	}
	var load load
	for w := range 4 {
		load.Go(func() { load.send(s.smtp, fmt.Sprintf("mta-%d", w), toAlice) })
		load.Go(func() { load.submit(s.submission, fmt.Sprintf("msa-%d", w), false) })
		load.Go(func() { load.submit(s.submissions, fmt.Sprintf("tls-%d", w), true) })
	}
	for deadline := time.Now().Add(30 * time.Second); !(load.everywhere("mta-", "msa-", "tls-") && load.count() >= 500) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if status := s.stop(); status != 0 {
		t.Errorf("exit status %d after SIGTERM\n%s", status, s.log.String())
	}
	load.Wait()
	if !load.everywhere("mta-", "msa-", "tls-") {
		t.Fatalf("no load on some listener\n%s", s.log.String())
	}
	for want, next := range farewells {
		if got := next(); !strings.HasPrefix(got, want[:4]) {
			t.Errorf("farewell of %s: %q", want, got)
		}
	}
	s.start()
	findAll(t, s, load.acknowledged)
	t.Logf("%d acknowledged", len(load.acknowledged))
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

// everywhere says whether each kind of worker has had a message acknowledged.
func (l *load) everywhere(kinds ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, kind := range kinds {
		found := false
		for name := range l.acknowledged {
			found = found || strings.HasPrefix(name, kind)
		}
		if !found {
			return false
		}
	}
	return true
}

// TestSecondSignalEnds: a session that does not end holds up nobody who is in a hurry.
func TestSecondSignalEnds(t *testing.T) {
	s := newServer(t, "")
	s.start()
	conn, err := net.Dial("tcp", s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, line := range []string{"", "HELO x.test\r\n", "MAIL FROM:<>\r\n"} { // a transaction that may go on
		fmt.Fprint(conn, line)
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	s.process.Process.Signal(syscall.SIGTERM)
	await(t, s.log, "stopping")
	ended := make(chan error, 1)
	go func() { ended <- s.process.Wait() }()
	for deadline := time.After(20 * time.Second); ; { // the first ones may come before anybody listens for them
		s.process.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			if code := s.process.ProcessState.ExitCode(); code != exitFail {
				t.Errorf("exit status %d although a session was cut off\n%s", code, s.log.String())
			}
			return
		case <-deadline:
			t.Fatalf("it does not end\n%s", s.log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
