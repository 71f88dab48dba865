package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/mailbox"
	"waybill/internal/store/faultfs"
)

// TestFailedDisk: from a failed write or sync on nothing is acknowledged; what was acknowledged before survives; the
// node is back by itself once the disk works again.
func TestFailedDisk(t *testing.T) {
	for name, fault := range map[string]struct {
		kind faultfs.Kind // "": any
		err  error
	}{
		"sync fails":        {faultfs.Sync, faultfs.ErrInjected},
		"write fails":       {faultfs.Write, faultfs.ErrInjected},
		"disk full":         {faultfs.Write, faultfs.ErrNoSpace},
		"becomes read-only": {"", faultfs.ErrReadOnly},
	} {
		t.Run(name, func(t *testing.T) {
			disk := faultfs.NewDisk()
			n := nodeOn(t, disk, t.TempDir())
			if err := n.AddAccount(t.Context(), alice, "secret"); err != nil {
				t.Fatal(err)
			}
			address := n.Listeners()[0].Addr.String()
			s := &sender{acknowledged: map[string]bool{}}
			if err := s.run(address, "before", 5, 1000); err != nil {
				t.Fatal(err)
			}
			var failing atomic.Bool
			failing.Store(true)
			disk.Before(func(op faultfs.Op) error {
				if failing.Load() && (fault.kind == "" || op.Kind == fault.kind) {
					return fault.err
				}
				return nil
			})
			if err := s.run(address, "during", 1, 1000); err == nil || !strings.Contains(err.Error(), "451 4.3.0") {
				t.Errorf("while the disk fails: %v, want 451 4.3.0", err)
			}
			failing.Store(false)
			for deadline := time.Now().Add(20 * time.Second); ; {
				err := s.run(address, "after", 1, 1000)
				if err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the node does not take mail again:", err)
				}
				time.Sleep(20 * time.Millisecond)
			}
			// "during" was refused, and may have been kept all the same: a 451 promises nothing.
			if lost := awaitDelivered(t, n, s.known(), 1000, 20*time.Second); len(lost) > 0 {
				t.Errorf("lost: %v", lost)
			}
		})
	}
}

// tmpfs mounts a small file system.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput()
	if err != nil {
		t.Skipf("cannot mount a tmpfs (%v: %s): run the tests as root", err, strings.TrimSpace(string(out)))
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

// nodeIn starts a node on the real file system at data.
func nodeIn(t *testing.T, data string, minFree int64) *Node {
	t.Helper()
	c := config.Default()
	c.Hostname, c.Data = "mail.example.test", data
	c.Listen.SMTP = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	c.Resolver.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}
	c.Limits.MinFree, c.Limits.CommitTime = minFree, 0 // mail is refused for want of room only
	c.Domains = []config.Domain{{Name: "example.test"}}
	n, err := New(Options{Config: c, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		n.Shutdown(ctx)
	})
	return n
}

// TestReadOnlyDisk: a node does not start on it, says why, and is fine once it can write.
func TestReadOnlyDisk(t *testing.T) {
	dir := tmpfs(t, "64m")
	data := filepath.Join(dir, "data")
	c := config.Default()
	c.Hostname, c.Data = "mail.example.test", data
	c.Listen.SMTP = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	c.Domains = []config.Domain{{Name: "example.test"}}
	o := Options{Config: c, Logger: slog.New(slog.DiscardHandler)}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	remount := func(how string) {
		if out, err := exec.Command("mount", "-o", "remount,"+how, dir).CombinedOutput(); err != nil {
			t.Fatalf("remount: %v: %s", err, out)
		}
	}
	remount("ro")
	if _, err := New(o); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), data) {
		t.Errorf("on a read-only disk: %v", err)
	}
	remount("rw")
	if n, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := n.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLowSpace: below min_free mail is refused before anything breaks, and reading and deleting go on.
func TestLowSpace(t *testing.T) {
	dir := tmpfs(t, "256m")
	n := nodeIn(t, filepath.Join(dir, "data"), 64<<20)
	if err := n.AddAccount(t.Context(), alice, "secret"); err != nil {
		t.Fatal(err)
	}
	address := n.Listeners()[0].Addr.String()
	s := &sender{acknowledged: map[string]bool{}}
	if err := s.run(address, "before", 3, 1000); err != nil {
		t.Fatal(err)
	}
	if lost := awaitDelivered(t, n, s.known(), 1000, 20*time.Second); len(lost) > 0 {
		t.Fatal("not delivered:", lost)
	}
	ballast := filepath.Join(dir, "ballast")
	free, err := n.engine.DiskFree()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ballast, make([]byte, int64(free)-(60<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := until(s, address, "low", func(err error) bool { return err != nil }); err == nil || !strings.Contains(err.Error(), "452 4.3.1") {
		t.Errorf("below min_free: %v, want 452 4.3.1", err)
	}
	listing, err := n.mailboxes.List(t.Context(), alice.Key(), mailbox.Inbox)
	if err != nil || len(listing.Entries) < 3 {
		t.Fatalf("reading: %d messages, %v", len(listing.Entries), err)
	}
	os.Remove(ballast)
	if err := until(s, address, "again", func(err error) bool { return err == nil }); err != nil {
		t.Error("with space again:", err)
	}
}

// until sends messages until the outcome is the one awaited: the free space is asked once a second.
func until(s *sender, address, name string, awaited func(error) bool) (err error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err = s.run(address, name, 1, 1000); awaited(err) {
			return err
		}
	}
	return err
}

// TestFullDisk: a disk that runs full under load, with min_free off, loses nothing that was acknowledged.
func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, "48m")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	n := nodeIn(t, filepath.Join(dir, "data"), 0)
	if err := n.AddAccount(t.Context(), alice, "secret"); err != nil {
		t.Fatal(err)
	}
	address := n.Listeners()[0].Addr.String()
	s := &sender{acknowledged: map[string]bool{}}
	const size = 100_000
	full := errors.New("never full")
	for i := range 400 {
		if full = s.run(address, fmt.Sprint(i), 1, size); full != nil {
			break
		}
	}
	if full == nil || !strings.Contains(full.Error(), " 45") {
		t.Fatalf("the full disk was answered with %v, want a 45x reply", full)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := s.run(address, "after", 1, size)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the node does not take mail again:", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if lost := awaitDelivered(t, n, s.known(), size, 20*time.Second); len(lost) > 0 {
		t.Errorf("%d of %d acknowledged messages are lost", len(lost), len(s.known()))
	}
}

// TestBurstOnASmallDisk: mail that comes as fast as it can is stopped by min_free with 452, not by a full disk.
func TestBurstOnASmallDisk(t *testing.T) {
	n := nodeIn(t, filepath.Join(tmpfs(t, "160m"), "data"), 64<<20)
	if err := n.AddAccount(t.Context(), alice, "secret"); err != nil {
		t.Fatal(err)
	}
	s := &sender{acknowledged: map[string]bool{}}
	const size = 1_000_000
	err := s.run(n.Listeners()[0].Addr.String(), "burst", 200, size)
	if err == nil || !strings.Contains(err.Error(), "452 4.3.1") {
		t.Errorf("the burst ended with %v, want 452 4.3.1", err)
	}
	if err := n.engine.Healthy(); err != nil {
		t.Error("the store has failed:", err)
	}
	if len(s.known()) == 0 {
		t.Error("nothing was taken although there was room")
	}
	if lost := awaitDelivered(t, n, s.known(), size, 20*time.Second); len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
}
