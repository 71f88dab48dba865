package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/smtp"
	"waybill/internal/store/faultfs"
	"waybill/internal/store/pebble"
)

var alice = mail.Address{Local: "alice", Domain: "example.test"}

// nodeOn starts a node for example.test whose store lies on disk.
func nodeOn(t *testing.T, disk *faultfs.Disk, data string) *Node {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	engine, err := pebble.Open(pebble.Options{Dir: "store", FS: disk, Logger: logger, MemTableSize: 256 << 10})
	if err != nil {
		t.Fatal("open the store:", err)
	}
	c := config.Default()
	c.Hostname, c.Data = "mail.example.test", data
	c.Listen.SMTP = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	c.Resolver.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")} // nobody answers
	c.Limits.MinFree, c.Limits.CommitTime = 0, 0                                  // the harness looks at the disk within each sync
	c.Domains = []config.Domain{{Name: "example.test"}}
	n, err := New(Options{Config: c, Engine: engine, Logger: logger})
	if err != nil {
		t.Fatal("build the node:", err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal("start the node:", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		n.Shutdown(ctx)
	})
	return n
}

// sender sends messages over the wire and notes which were acknowledged.
type sender struct {
	mu           sync.Mutex
	acknowledged map[string]bool
}

func (s *sender) known() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.acknowledged)
}

// run sends count messages of size octets on one session; it ends early when the server does not take one.
func (s *sender) run(address, name string, count, size int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	client := smtp.NewClient(conn, smtp.ClientOptions{Hello: "client.example.test"})
	defer client.Close()
	if err := client.Greet(ctx); err != nil {
		return err
	}
	if err := client.Hello(ctx); err != nil {
		return err
	}
	for i := range count {
		label := fmt.Sprintf("%s-%d", name, i)
		content := append([]byte("X-Label: "+label+"\r\n\r\n"), bytes.Repeat([]byte("0123456789abcde\r\n"), size/17)...)
		results, err := client.Send(ctx, smtp.Transaction{ReversePath: alice, Recipients: recipients(i), Content: bytes.NewReader(content)})
		if err != nil {
			return err
		}
		if !results.Data.Success() {
			return fmt.Errorf("refused: %s %s", results.Mail, results.Data)
		}
		s.mu.Lock()
		s.acknowledged[label] = true
		s.mu.Unlock()
	}
	return nil
}

// recipients of message i lead to alice. With that many the message goes through the queue; with one it does not.
func recipients(i int) []mail.Address {
	list := []mail.Address{alice}
	for tag := range i % 2 * 10 {
		list = append(list, mail.Address{Local: fmt.Sprint(alice.Local, "+", tag), Domain: alice.Domain})
	}
	return list
}

var label = regexp.MustCompile(`X-Label: (\S+)`)

// delivered returns how often each message is in alice's mailbox, after checking that each is whole.
func delivered(t *testing.T, n *Node, size int) map[string]int {
	t.Helper()
	listing, err := n.mailboxes.List(t.Context(), alice.Key(), mailbox.Inbox)
	if err != nil {
		t.Fatal("list the mailbox:", err)
	}
	found := map[string]int{}
	for _, entry := range listing.Entries {
		r, err := n.mailboxes.Open(t.Context(), entry)
		if err != nil {
			t.Fatalf("open message %d: %v", entry.UID, err)
		}
		content, err := io.ReadAll(r)
		r.Close()
		if err != nil || int64(len(content)) != entry.Size {
			t.Errorf("message %d: %d octets of %d, %v", entry.UID, len(content), entry.Size, err)
		}
		if body := content[bytes.Index(content, []byte("\r\n\r\n"))+4:]; len(body) != size/17*17 {
			t.Errorf("message %d has a body of %d octets, want %d", entry.UID, len(body), size/17*17)
		}
		found[string(label.FindSubmatch(content)[1])]++
	}
	return found
}

// awaitDelivered waits until every acknowledged message is in the mailbox and returns those that are not.
func awaitDelivered(t *testing.T, n *Node, acknowledged map[string]bool, size int, limit time.Duration) (lost []string) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		found := delivered(t, n, size)
		lost = nil
		for name := range acknowledged {
			if found[name] == 0 {
				lost = append(lost, name)
			}
		}
		if len(lost) == 0 || time.Now().After(deadline) {
			for name, times := range found {
				if times > 1 {
					t.Errorf("%s was filed %d times: the spool's end and the filing are one batch", name, times)
				}
			}
			return lost
		}
	}
}

// crash is a disk as the power cut left it, with what had been acknowledged by then.
type crash struct {
	disk         *faultfs.Disk
	acknowledged map[string]bool
	seed         uint64
}

// keepSome lets a different share of what was not synced survive each power cut, in percent.
func keepSome(step uint64) int { return int(step * 37 % 101) }

// keepNothing is the strictest disk: what was not synced is gone.
func keepNothing(uint64) int { return 0 }

// crashUnderLoad runs a node under load on a disk and cuts the power after every sync and at random writes; before
// is the disk's hook, keep what survives of the unsynced. It returns all crashes in their order.
func crashUnderLoad(t *testing.T, size int, before func(faultfs.Op) error, keep func(step uint64) int) []crash {
	t.Helper()
	disk := faultfs.NewDisk()
	n := nodeOn(t, disk, t.TempDir())
	if err := n.AddAccount(t.Context(), alice, "secret"); err != nil {
		t.Fatal(err)
	}
	s := &sender{acknowledged: map[string]bool{}}
	var mu sync.Mutex
	var crashes []crash
	var steps uint64
	disk.Before(before)
	disk.After(func(op faultfs.Op) {
		mu.Lock()
		defer mu.Unlock()
		steps++
		if op.Kind == faultfs.Sync || rand.IntN(4) == 0 {
			acknowledged := s.known() // before the cut, so that all of these must survive it
			crashes = append(crashes, crash{disk.Crash(keep(steps), steps), acknowledged, steps})
		}
	})
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			if err := s.run(n.Listeners()[0].Addr.String(), fmt.Sprint(i), 6, size); err != nil {
				t.Error("send:", err)
			}
		})
	}
	senders.Wait()
	disk.After(nil)
	disk.Before(nil)
	mu.Lock()
	defer mu.Unlock()
	return crashes
}

// recoverAll starts a node on each crashed disk and returns the number of acknowledged messages that are nowhere.
func recoverAll(t *testing.T, crashes []crash, size int, limit time.Duration) (lost int) {
	t.Helper()
	for _, c := range crashes {
		t.Run(fmt.Sprintf("step%d", c.seed), func(t *testing.T) {
			n := nodeOn(t, c.disk, t.TempDir())
			lost += len(awaitDelivered(t, n, c.acknowledged, size, limit))
		})
	}
	return lost
}

// maxRecoveries bounds how many crashes one test recovers from: each starts a whole node.
const maxRecoveries = 40

func sample(crashes []crash) []crash {
	if len(crashes) <= maxRecoveries {
		return crashes
	}
	var some []crash
	for i := range maxRecoveries {
		some = append(some, crashes[i*len(crashes)/maxRecoveries])
	}
	return append(some, crashes[len(crashes)-1])
}

// TestCrash: a power cut at any moment loses no acknowledged message and tears none.
func TestCrash(t *testing.T) {
	for _, size := range []int{1000, 200_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			crashes := crashUnderLoad(t, size, nil, keepSome)
			if len(crashes) < 10 {
				t.Fatalf("only %d crashes", len(crashes))
			}
			if lost := recoverAll(t, sample(crashes), size, 20*time.Second); lost > 0 {
				t.Errorf("%d acknowledged messages are lost", lost)
			}
		})
	}
}

// TestCrashFindsMissingSync: with the log's syncs left out, the same check must find losses. A table written out at the
// last moment may have saved what the log forgot, so several of the last crashes are looked at.
func TestCrashFindsMissingSync(t *testing.T) {
	crashes := crashUnderLoad(t, 1000, func(op faultfs.Op) error {
		if op.Kind == faultfs.Sync && op.Log() {
			return faultfs.ErrSkip
		}
		return nil
	}, keepNothing)
	for i := range 10 {
		at := len(crashes) - 1 - i*len(crashes)/20 // in the second half of the run
		if lostOn(t, crashes[at]) > 0 {
			return
		}
	}
	t.Error("no sync of the log was done, yet the check found no loss: it cannot fail")
}

// lostOn returns how many acknowledged messages are gone after a crash; all of them if not even the account is there.
func lostOn(t *testing.T, c crash) (lost int) {
	t.Run(fmt.Sprintf("step%d", c.seed), func(t *testing.T) {
		n := nodeOn(t, c.disk, t.TempDir())
		if _, err := n.mailboxes.List(t.Context(), alice.Key(), mailbox.Inbox); err != nil {
			lost = len(c.acknowledged)
			return
		}
		lost = len(awaitDelivered(t, n, c.acknowledged, 1000, 500*time.Millisecond))
	})
	return lost
}
