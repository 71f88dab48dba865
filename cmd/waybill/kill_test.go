package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/smtp"
)

var marker = regexp.MustCompile(`X-Load: (\S+)`)

// connectionsToSink is how many messages may be on their way to the sink at the same time.
const connectionsToSink = 5

// ways are those that mail takes through the server, by the first word of a message's name.
func ways() map[string]audience {
	return map[string]audience{
		"alice": toAlice, // filed with the acceptance
		"crowd": toCrowd, // filed by the queue
		"away":  toSink,  // relayed
		"late":  toSink,  // relayed; the sink answers 450 first
	}
}

// TestKillUnderLoad: whatever got its 250 is in a mailbox, or at the next hop, after kill -9 and restart.
func TestKillUnderLoad(t *testing.T) {
	out := newSink(t)
	s := newServer(t, fmt.Sprintf("[queue]\nretry = [\"1s\"]\nconnections = %d\n[relay]\ntrusted = [\"127.0.0.1/32\"]\n[[route]]\ndomains = [%q]\nvia = [%q]\n",
		connectionsToSink, sinkDomain, out.address))
	for _, a := range toCrowd("")[1:] {
		s.addAccount(a.String())
	}
	acknowledged := map[string]map[string]bool{} // by way
	for way := range ways() {
		acknowledged[way] = map[string]bool{}
	}
	rounds := kills(t)
	for round := range rounds {
		for _, name := range s.loadAndKill(round) {
			way, _, _ := strings.Cut(name, "-")
			acknowledged[way][name] = true
		}
	}
	for way, names := range acknowledged {
		if len(names) < leastOfEach {
			t.Fatalf("only %d messages %s were acknowledged: no load", len(names), way)
		}
	}
	s.start()
	checkMailboxes(t, s, acknowledged["alice"], acknowledged["crowd"])
	checkSink(t, s, out, rounds, acknowledged["away"], acknowledged["late"])
}

// leastOfEach is how many messages of each way are a load.
const leastOfEach = 5

// underWay says whether that many were acknowledged.
func (l *load) underWay() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[string]int{}
	for name := range l.acknowledged {
		way, _, _ := strings.Cut(name, "-")
		count[way]++
	}
	for way := range ways() {
		if count[way] < leastOfEach {
			return false
		}
	}
	return true
}

// loadAndKill starts the server, puts all kinds of load on it, kills it, and returns what was acknowledged.
func (s *server) loadAndKill(round int) []string {
	s.start()
	var load load
	for way, to := range ways() {
		for w := range 2 {
			load.Go(func() { load.send(s.smtp, fmt.Sprintf("%s-r%d-w%d", way, round, w), to) })
		}
	}
	// Not a wait for something to happen, but the moment of the kill, which is meant to be random.
	time.Sleep(300*time.Millisecond + rand.N(700*time.Millisecond))
	for deadline := time.Now().Add(30 * time.Second); !load.underWay() && time.Now().Before(deadline); {
		time.Sleep(rand.N(20 * time.Millisecond)) // on a busy machine
	}
	s.kill()
	load.Wait()
	return slices.Collect(maps.Keys(load.acknowledged))
}

// checkMailboxes wants each message once in the mailbox of each of its recipients, and nothing else there: a message is
// filed in the batch that ends its custody.
func checkMailboxes(t *testing.T, s *server, alice, crowd map[string]bool) {
	t.Helper()
	total := 0
	for _, a := range toCrowd("") {
		want := maps.Clone(crowd)
		if a == toAlice("")[0] {
			maps.Copy(want, alice)
		}
		found := awaitAll(t, s, want, func() map[string]int { return fetchAll(t, s, a.String()) })
		for name, n := range found {
			if way, _, _ := strings.Cut(name, "-"); n > 1 || way != "alice" && way != "crowd" {
				t.Errorf("%s has %s %d times", a, name, n)
			}
		}
		total += len(found)
	}
	t.Logf("%d acknowledged for one mailbox, %d for %d; %d found in all mailboxes", len(alice), len(crowd), len(toCrowd("")), total)
}

// checkSink wants each message at the sink. With a kill between the sink's reply and its record here a message goes twice:
// at most those can that were on their way then.
func checkSink(t *testing.T, s *server, out *sink, kills int, away, late map[string]bool) {
	t.Helper()
	want := maps.Clone(away)
	maps.Copy(want, late)
	found := awaitAll(t, s, want, out.count)
	twice := 0
	for _, n := range found {
		twice += n - 1
	}
	t.Logf("%d acknowledged for the sink, and %d that it did not take at once; it has %d, and %d copies too many", len(away), len(late), len(found), twice)
	if twice > kills*connectionsToSink {
		t.Errorf("%d messages too many reached the sink after %d kills", twice, kills)
	}
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

// findAll reads alice's mailbox until all that was acknowledged is there, or for a minute, and returns how often each was.
func findAll(t *testing.T, s *server, acknowledged map[string]bool) map[string]int {
	t.Helper()
	return awaitAll(t, s, acknowledged, func() map[string]int { return fetchAll(t, s, testUser) })
}

// awaitAll looks until everything is there, or for a minute, and returns how often each message is.
func awaitAll(t *testing.T, s *server, want map[string]bool, look func() map[string]int) map[string]int {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		found := look()
		lost := missing(want, found)
		if len(lost) == 0 {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d acknowledged messages are lost: %v\n%s", len(lost), lost[:min(len(lost), 10)], s.log.String())
		}
	}
}

// fetchAll reads a mailbox and returns how often each message is there.
func fetchAll(t *testing.T, s *server, user string) map[string]int {
	t.Helper()
	out, errOut, status := waybill(t, "", "fetch", "--server", s.pop3s, "--tls", "tls", "--insecure", "--user", user,
		"--password-file", passwordFile(t), "--out", "-", "--keep")
	if status != 0 {
		t.Fatalf("fetch: %s\n%s", errOut, s.log.String())
	}
	found := map[string]int{}
	for _, name := range marker.FindAllStringSubmatch(out, -1) {
		found[name[1]]++
	}
	return found
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

// audience says who gets the message of that name.
type audience func(name string) []mail.Address

const sinkDomain = "sink.test"

func toAlice(string) []mail.Address { return []mail.Address{{Local: "alice", Domain: "example.test"}} }

// toCrowd is alice and ten more: too many to be served with the acceptance.
func toCrowd(name string) []mail.Address {
	to := toAlice(name)
	for i := range 10 {
		to = append(to, mail.Address{Local: fmt.Sprintf("user%d", i), Domain: "example.test"})
	}
	return to
}

func toSink(name string) []mail.Address { return []mail.Address{{Local: name, Domain: sinkDomain}} }

// send sends messages on one session until the connection breaks.
func (l *load) send(server, worker string, to audience) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	l.transact(ctx, client, worker, to)
}

// transact sends message after message until something fails.
func (l *load) transact(ctx context.Context, client *smtp.Client, worker string, to audience) {
	from := toAlice("")[0]
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", worker, i)
		content := []byte("Subject: load\r\nX-Load: " + name + "\r\n\r\n" + string(bytes.Repeat([]byte("All work and no play.\r\n"), 200)))
		results, err := client.Send(ctx, smtp.Transaction{ReversePath: from, Recipients: to(name), Content: bytes.NewReader(content)})
		if err != nil || !results.Data.Success() || slices.ContainsFunc(results.Recipients, func(s mail.Status) bool { return !s.Success() }) {
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
