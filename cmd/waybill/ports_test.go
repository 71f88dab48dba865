package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// givenPorts are those of this process's tests that run: they stay theirs while a server has ended and is to start again.
var givenPorts struct {
	sync.Mutex
	all map[string]bool
}

// freePorts returns addresses with different ports, which no other test gets before this one has ended. They are none that the system gives
// to whoever asks for any, and none of those that the tests' databases and object stores choose from.
func freePorts(t *testing.T, n int) (addresses []string) {
	t.Helper()
	givenPorts.Lock()
	defer givenPorts.Unlock()
	if givenPorts.all == nil {
		givenPorts.all = map[string]bool{}
	}
	for range 10_000 {
		address := fmt.Sprintf("127.0.0.1:%d", 30_000+rand.IntN(2768))
		if givenPorts.all[address] || !isFree(address) {
			continue
		}
		givenPorts.all[address] = true
		if addresses = append(addresses, address); len(addresses) == n {
			t.Cleanup(func() { giveBack(addresses) })
			return addresses
		}
	}
	t.Fatal("no ports are free")
	return nil
}

func isFree(address string) bool {
	l, err := net.Listen("tcp", address)
	return err == nil && l.Close() == nil
}

func giveBack(addresses []string) {
	givenPorts.Lock()
	defer givenPorts.Unlock()
	for _, address := range addresses {
		delete(givenPorts.all, address)
	}
}

// refusing returns an address that refuses connections until the test ends: its port is taken by who does not listen.
func refusing(t *testing.T) (address string) {
	t.Helper()
	syscall.ForkLock.RLock() // so that no process that is started now has it, too
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

// TestPortsAreGivenOnce: to no two tests at a time, though nobody listens there.
func TestPortsAreGivenOnce(t *testing.T) {
	var all []string
	t.Run("while it runs", func(t *testing.T) {
		for range 300 {
			all = append(all, freePorts(t, 5)...)
		}
		slices.Sort(all)
		if once := slices.Compact(slices.Clone(all)); len(once) != len(all) {
			t.Errorf("%d ports of %d are others", len(once), len(all))
		}
	})
	givenPorts.Lock()
	defer givenPorts.Unlock()
	for _, address := range all {
		if givenPorts.all[address] {
			t.Errorf("%s was not given back", address)
		}
	}
}
