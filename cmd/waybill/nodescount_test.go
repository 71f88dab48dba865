package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"waybill/internal/pop3"
)

// openMaildrop logs in by POP3 at a node.
func openMaildrop(ctx context.Context, address, user string) (*pop3.Client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := pop3.NewClient(tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), pop3.ClientOptions{Timeout: patienceOfPeers})
	if err := c.Greet(ctx); err != nil {
		c.Close()
		return nil, err
	}
	if err := c.Login(ctx, user, testPassword); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// letters are the names of the messages in a mailbox, by their unique ids.
type letters map[string]string

// read adds what came since the last time, by way of any of the nodes, and wants everything there that was there before.
func (l letters) read(t *testing.T, c *nodes, user string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := openMaildrop(ctx, c.all[rand.IntN(len(c.all))].pop3s, user)
	if errors.Is(err, pop3.ErrInUse) { // by a session that died with its node
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	there, err := client.Uidl(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for n, uidl := range there {
		if _, known := l[uidl]; known {
			seen++
			continue
		}
		var text bytes.Buffer
		if err := client.Retr(ctx, n, &text); err != nil {
			t.Fatal(err)
		}
		name := marker.FindSubmatch(text.Bytes())
		if name == nil || !bytes.HasSuffix(text.Bytes(), marked(string(name[1]), linesOf(string(name[1])))) {
			t.Fatalf("%s has a message that nobody sent:\n%.1000s", user, text.String())
		}
		l[uidl] = string(name[1])
		seen++
	}
	if seen < len(l) {
		t.Errorf("of %d letters of %s only %d are left, or have the same UIDL as before", len(l), user, seen)
	}
	if err := client.Quit(ctx); err != nil {
		t.Error(err)
	}
}

func (l letters) count() map[string]int {
	found := map[string]int{}
	for _, name := range l {
		found[name]++
	}
	return found
}

// check wants whatever was acknowledged in the mailbox, or at the sink, and the reports there that were asked for. In the mailbox it may be twice only where the
// client did not hear that it had been taken, and sent it again.
func (s *senders) check(c *nodes) {
	c.t.Helper()
	byWay := map[string]map[string]bool{}
	for name := range s.acknowledged {
		way, _, _ := strings.Cut(name, "-")
		if byWay[way] == nil {
			byWay[way] = map[string]bool{}
		}
		byWay[way][name] = true
	}
	c.t.Logf("%d acknowledged, %d attempts refused; %d without a reply to the dot, %d with a 451 there; the slowest reply took %s",
		len(s.acknowledged), s.refused, s.lost, sum(s.doubts)-s.lost, s.slowest.Round(time.Millisecond))
	if s.slowest > patienceOfPeers {
		c.t.Errorf("a client waited %s for its reply", s.slowest)
	}
	copies := s.checkMailbox(c, testUser, union(byWay["alice"], byWay["told"], byWay["large"]))
	want := union(byWay["told"], byWay["away"], byWay["late"], byWay["wait"], byWay["largeaway"])
	found := c.awaitThere("the sink", want, c.out.count)
	c.t.Logf("copies: %d too many in the mailbox, of what was sent twice; %d too many at the sink", copies, sum(found)-len(found))
}

// checkMailbox returns how many letters there are more than once.
func (s *senders) checkMailbox(c *nodes, user string, want map[string]bool) (copies int) {
	c.t.Helper()
	l := letters{}
	found := c.awaitThere(user, want, func() map[string]int {
		l.read(c.t, c, user)
		return l.count()
	})
	for name, n := range found {
		most := s.doubts[name]
		if _, is := s.acknowledged[name]; is {
			most++
		}
		if n > most {
			c.t.Errorf("%s has %s %d times", user, name, n)
		}
		copies += n - 1
	}
	return copies
}

// awaitThere looks until everything is there, or for a minute.
func (c *nodes) awaitThere(where string, want map[string]bool, look func() map[string]int) map[string]int {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		found := look()
		lost := missing(want, found)
		if len(lost) == 0 {
			return found
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s lacks %d of %d acknowledged messages: %v", where, len(lost), len(want), lost[:min(len(lost), 10)])
		}
	}
}

func union(sets ...map[string]bool) map[string]bool {
	all := map[string]bool{}
	for _, s := range sets {
		for name := range s {
			all[name] = true
		}
	}
	return all
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
