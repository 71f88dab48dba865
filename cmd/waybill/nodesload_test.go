package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/smtp"
)

const (
	// loadPause is between the messages of a sender: the load is to have mail at every step, not to be large.
	loadPause = 40 * time.Millisecond
	// patienceOfPeers bounds how long a node in trouble leaves a client without a reply.
	patienceOfPeers = 60 * time.Second
)

// senders hand mail in to all nodes. What one node refuses, or does not answer, is handed in to the next one.
type senders struct {
	sync.WaitGroup
	t    *testing.T
	to   []string      // SMTP addresses of nodes
	done chan struct{} // closed when no message is to follow

	mu           sync.Mutex
	acknowledged map[string]mail.ID // by name
	doubts       map[string]int     // how often a message had been sent whole without a 250, by name
	lost         int                // of the doubts, those without any reply
	refused      int                // attempts that were
	slowest      time.Duration      // of all transactions
}

// waysThrough are those that mail takes through the nodes, by the first word of a message's name.
func waysThrough() map[string]audience {
	return map[string]audience{
		"alice": toAlice, // filed with the acceptance
		"told":  toAlice, // filed by the queue, since a report is wanted, which goes to the sink
		"away":  toSink,  // relayed
		"late":  toSink,  // relayed; the sink answers 450 first
	}
}

// loadLarge adds large messages to a load, one sender for each way.
func (s *senders) loadLarge(round string) {
	for way, to := range map[string]audience{"large": toAlice, "largeaway": toSink} {
		s.Go(func() { s.send(fmt.Sprintf("%s-%s-w0", way, round), to, 0, 10*loadPause) })
	}
}

// load begins to put all kinds of load on the nodes, with some senders for each way.
func (c *nodes) load(round string, each int) *senders {
	s := c.newSenders()
	for way, to := range waysThrough() {
		for w := range each {
			s.Go(func() { s.send(fmt.Sprintf("%s-%s-w%d", way, round, w), to, w, loadPause) })
		}
	}
	return s
}

func (c *nodes) newSenders() *senders {
	s := &senders{t: c.t, done: make(chan struct{}), acknowledged: map[string]mail.ID{}, doubts: map[string]int{}}
	for _, m := range c.all {
		s.to = append(s.to, m.smtp)
	}
	return s
}

// end lets the senders end what they are at, and waits for them.
func (s *senders) end() {
	close(s.done)
	s.Wait()
}

func (s *senders) ending() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// send hands in message after message, each until some node takes it, and goes to the next node after some.
func (s *senders) send(worker string, to audience, first int, pause time.Duration) {
	session := &courier{s: s, at: first}
	defer session.close()
	for i := 0; !s.ending(); i++ {
		name := fmt.Sprintf("%s-%d", worker, i)
		for !session.handIn(name, to(name)) && !s.ending() {
			time.Sleep(loadPause)
		}
		time.Sleep(pause)
		if i%20 == 19 {
			session.next()
		}
	}
}

// courier is a session with one of the nodes.
type courier struct {
	s      *senders
	at     int
	client *smtp.Client
}

func (x *courier) close() {
	if x.client != nil {
		x.client.Close()
		x.client = nil
	}
}

// next goes to another node.
func (x *courier) next() {
	x.close()
	x.at++
}

// handIn makes one attempt at a message, and says whether it was acknowledged. Whoever refused it is left.
func (x *courier) handIn(name string, to []mail.Address) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patienceOfPeers)
	defer cancel()
	began := time.Now()
	taken := x.try(ctx, name, to)
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.slowest = max(x.s.slowest, time.Since(began))
	if !taken {
		x.s.refused++
		x.next()
	}
	return taken
}

func (x *courier) try(ctx context.Context, name string, to []mail.Address) bool {
	if x.client == nil {
		conn, err := net.Dial("tcp", x.s.to[x.at%len(x.s.to)])
		if err != nil {
			return false
		}
		x.client = smtp.NewClient(conn, smtp.ClientOptions{Hello: "load.example.test"})
		if x.client.Greet(ctx) != nil || x.client.Hello(ctx) != nil {
			return false
		}
	}
	content := marked(name, linesOf(name))
	letter := smtp.Transaction{ReversePath: toAlice("")[0], Recipients: to, Content: bytes.NewReader(content)}
	if strings.HasPrefix(name, "told-") {
		letter.ReversePath = toSink(name)[0]
		letter.Reports = []mail.Report{{Notify: mail.NotifySuccess}}
		letter.Size = int64(len(content)) // so all of it goes in one group
	}
	results, err := x.client.Send(ctx, letter)
	return x.s.note(name, results, err)
}

// linesOf is how many lines a message has: few, or so many that its body lies in an object store if there is one, or that it does
// not fit into the network's buffers (8 MB).
func linesOf(name string) int {
	switch {
	case strings.HasPrefix(name, "held-large"):
		return 350_000
	case strings.HasPrefix(name, "large"):
		return 10_000
	}
	return 40
}

// marked is a message of that name, of so many lines.
func marked(name string, lines int) []byte {
	return []byte("Subject: load\r\nX-Load: " + name + "\r\n\r\n" + strings.Repeat("All work and no play.\r\n", lines))
}

// note keeps what came of an attempt. After a 451 to the dot a message may be there all the same: the node did not learn what its
// database made of it.
func (s *senders) note(name string, results smtp.Results, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := func(s mail.Status) bool { return !s.Success() }
	if err == nil && results.Data.Success() && !slices.ContainsFunc(results.Recipients, refused) {
		id, err := mail.ParseID(strings.Fields(results.Data.Text)[0])
		if err != nil {
			s.t.Error(err)
		}
		s.acknowledged[name] = id
		return true
	}
	if results.Unknown || results.Data.Temporary() && slices.ContainsFunc(results.Recipients, mail.Status.Success) {
		s.doubts[name]++
	}
	if results.Unknown {
		s.lost++
	}
	return false
}

// count is how many messages were acknowledged so far.
func (s *senders) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acknowledged)
}

// await waits until so many more messages were acknowledged.
func (s *senders) await(c *nodes, more int) {
	c.t.Helper()
	until := s.count() + more
	c.until(fmt.Sprintf("%d messages acknowledged", until), 2*patienceOfPeers, func() bool { return s.count() >= until })
}

// handInAt hands in messages of one name at one node only and wants them to be taken; a node that joins the others just now may ask to
// come again.
func (s *senders) handInAt(m *member, n int, name string, to audience) (names map[string]bool) {
	s.t.Helper()
	names = map[string]bool{}
	here := slices.Index(s.to, m.smtp)
	x := &courier{s: s, at: here}
	defer x.close()
	for i := range n {
		name := fmt.Sprintf("%s-%d", name, i)
		for until := time.Now().Add(takeoverTime); !x.handIn(name, to(name)); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(until) {
				s.t.Fatalf("%s was not taken", name)
			}
			x.at = here // not at the next one
		}
		names[name] = true
	}
	return names
}

// handInOne hands in one message at one node.
func (s *senders) handInOne(m *member, name string, to mail.Address) mail.ID {
	s.t.Helper()
	s.handInAt(m, 1, name, func(string) []mail.Address { return []mail.Address{to} })
	return s.idOf(name + "-0")
}

// idOf is the id of a message that was acknowledged.
func (s *senders) idOf(name string) mail.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acknowledged[name]
}
