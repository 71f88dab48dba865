package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"waybill/internal/pop3"
)

// TestNodesShareMaildrops: a maildrop is open on one node at a time, and looks the same on all. Who loses it with the node, or because
// the node was taken for dead, deletes nothing.
func TestNodesShareMaildrops(t *testing.T) {
	t.Parallel()
	c := onSharedDatabase(t, 3, settings{})
	const bob = "bob@example.test"
	c.all[0].addAccount(bob)
	cut, dies, lives := c.all[0], c.all[1], c.all[2]
	for i := range 3 {
		send(t, c.all[i].server, "--to", bob)
		next := c.all[(i+1)%3]
		for _, user := range []string{testUser, bob} {
			if there := c.uidls(next, user); len(there) != i+1 {
				t.Errorf("of %d messages %s sees %d at once", i+1, next.name, len(there))
			}
		}
	}
	same := c.uidls(lives, testUser)
	if other := c.uidls(dies, testUser); !maps.Equal(same, other) {
		t.Errorf("messages have the unique ids %v on one node, %v on another", same, other)
	}

	ofAlice, ofBob := c.open(cut, testUser), c.open(dies, bob)
	defer ofBob.Close()
	defer ofAlice.Close()
	for user, free := range map[string]*member{testUser: dies, bob: lives} {
		if other, err := openMaildrop(t.Context(), free.pop3s, user); !errors.Is(err, pop3.ErrInUse) {
			t.Errorf("a second session: %v", err)
			other.Close()
		}
	}
	for _, session := range []*pop3.Client{ofAlice, ofBob} {
		if err := session.Dele(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	dies.kill()
	cut.line(lineCut)
	began := time.Now()
	c.until("the maildrops are free", takeoverTime, func() bool {
		return c.isFree(lives, testUser) && c.isFree(lives, bob)
	})
	t.Logf("free after %s", time.Since(began).Round(10*time.Millisecond))
	cut.line(lineOpen)
	if reply := cut.awaitReply(250, ""); reply != nil {
		t.Error(reply)
	}
	refused := new(pop3.RefusedError)
	if err := ofAlice.Quit(t.Context()); !errors.As(err, &refused) {
		t.Errorf("QUIT of a session that has lost the maildrop: %v", err)
	}
	if now := c.uidls(lives, testUser); !maps.Equal(now, same) {
		t.Errorf("there is %v, of %v", now, same)
	}
	if now := c.uidls(cut, bob); len(now) != 3 {
		t.Errorf("bob has %v", now)
	}
}

// open logs in at a node.
func (c *nodes) open(m *member, user string) *pop3.Client {
	c.t.Helper()
	session, err := openMaildrop(c.t.Context(), m.pop3s, user)
	if err != nil {
		c.t.Fatalf("%s at %s: %v", user, m.name, err)
	}
	return session
}

// isFree says whether a maildrop can be opened.
func (c *nodes) isFree(m *member, user string) bool {
	c.t.Helper()
	session, err := openMaildrop(c.t.Context(), m.pop3s, user)
	if errors.Is(err, pop3.ErrInUse) {
		return false
	}
	if err != nil {
		c.t.Fatal(err)
	}
	defer session.Close()
	return session.Quit(c.t.Context()) == nil
}

// uidls opens a maildrop and returns the unique ids there.
func (c *nodes) uidls(m *member, user string) map[int]string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	session := c.open(m, user)
	defer session.Close()
	ids, err := session.Uidl(ctx)
	if err = errors.Join(err, session.Quit(ctx)); err != nil {
		c.t.Fatal(fmt.Errorf("%s: %w", user, err))
	}
	return ids
}
