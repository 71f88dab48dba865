package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/smtp"
)

var marker = regexp.MustCompile(`X-Load: (\S+)`)

// TestKillUnderLoad: whatever got its 250 is in a mailbox after kill -9 and restart.
func TestKillUnderLoad(t *testing.T) {
	s := newServer(t, "")
	acknowledged := map[string]bool{}
	for round := range kills(t) {
		s.start()
		var load load
		for w := range 8 {
			load.Go(func() { load.send(s.smtp, fmt.Sprintf("r%d-w%d", round, w)) })
		}
		// Not a wait for something to happen, but the moment of the kill, which is meant to be random.
		time.Sleep(300*time.Millisecond + rand.N(700*time.Millisecond))
		s.kill()
		load.Wait()
		for name := range load.acknowledged {
			acknowledged[name] = true
		}
	}
	if len(acknowledged) < 30 {
		t.Fatalf("only %d messages were acknowledged: no load", len(acknowledged))
	}
	s.start()
	found := findAll(t, s, acknowledged)
	twice := 0
	for _, n := range found {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d acknowledged, %d found, %d of them more than once", len(acknowledged), len(found), twice)
}

// kills is how often the server is killed: a few times, or as often as WAYBILL_KILLS says.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WAYBILL_KILLS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// findAll reads the mailbox until all that was acknowledged is there, or for a minute, and returns how often each was.
func findAll(t *testing.T, s *server, acknowledged map[string]bool) map[string]int {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; {
		out, errOut, status := waybill(t, "", "fetch", "--server", s.pop3s, "--tls", "tls", "--insecure", "--user", testUser,
			"--password-file", passwordFile(t), "--out", "-", "--keep")
		if status != 0 {
			t.Fatalf("fetch: %s\n%s", errOut, s.log.String())
		}
		found := map[string]int{}
		for _, name := range marker.FindAllStringSubmatch(out, -1) {
			found[name[1]]++
		}
		lost := missing(acknowledged, found)
		if len(lost) == 0 {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d acknowledged messages are lost: %v", len(lost), lost[:min(len(lost), 10)])
		}
	}
}

func missing(acknowledged map[string]bool, found map[string]int) (lost []string) {
	for name := range acknowledged {
		if found[name] == 0 {
			lost = append(lost, name)
		}
	}
	return lost
}

// load is a crowd of senders that note what was acknowledged.
type load struct {
	sync.WaitGroup
	mu           sync.Mutex
	acknowledged map[string]bool
}

// send sends messages on one session until the connection breaks.
func (l *load) send(server, worker string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	client := smtp.NewClient(conn, smtp.ClientOptions{Hello: "load.example.test"})
	defer client.Close()
	if client.Greet(ctx) != nil || client.Hello(ctx) != nil {
		return
	}
	l.transact(ctx, client, worker)
}

// transact sends message after message until something fails.
func (l *load) transact(ctx context.Context, client *smtp.Client, worker string) {
	to := mail.Address{Local: "alice", Domain: "example.test"}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", worker, i)
		content := []byte("Subject: load\r\nX-Load: " + name + "\r\n\r\n" + string(bytes.Repeat([]byte("All work and no play.\r\n"), 200)))
		results, err := client.Send(ctx, smtp.Transaction{ReversePath: to, Recipients: []mail.Address{to}, Content: bytes.NewReader(content)})
		if err != nil || !results.Data.Success() {
			return
		}
		l.mu.Lock()
		if l.acknowledged == nil {
			l.acknowledged = map[string]bool{}
		}
		l.acknowledged[name] = true
		l.mu.Unlock()
	}
}
