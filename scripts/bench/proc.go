package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one row of /proc.
type process struct {
	pid, parent int
	name        string
	ticks       int64 // user and system time, with that of its reaped children, in hundredths of a second
}

// processTree returns root and all its descendants.
func processTree(root int) []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]process{}
	var tree []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, err := readProcess(pid)
		if err != nil {
			continue // ended meanwhile
		}
		if pid == root {
			tree = append(tree, p)
		}
		children[p.parent] = append(children[p.parent], p)
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree
}

// readProcess reads /proc/PID/stat (proc(5)). The name stands in brackets and may hold anything.
func readProcess(pid int) (process, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("process %d: no name", pid)
	}
	fields := strings.Fields(string(data[end+1:])) // from field 3, the state
	if len(fields) < 15 {
		return process{}, fmt.Errorf("process %d: %d fields", pid, len(fields))
	}
	p := process{pid: pid, name: string(data[open+1 : end])}
	p.parent, _ = strconv.Atoi(fields[1])
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(f, 10, 64)
		p.ticks += n
	}
	return p, nil
}

// usage is what the processes of a server have used so far.
type usage struct {
	cpu      time.Duration
	database time.Duration // of it, that of the processes of PostgreSQL
	written  int64         // octets sent towards the disk, those of ended processes included (proc(5), write_bytes)
}

// servers are the descendants of the generator without itself.
func serverProcesses(generator int) []process {
	tree := processTree(generator)
	if len(tree) == 0 {
		return nil
	}
	return tree[1:]
}

func usageOf(processes []process) usage {
	var u usage
	for _, p := range processes {
		cpu := time.Duration(p.ticks) * 10 * time.Millisecond
		u.cpu += cpu
		if p.name == "postgres" {
			u.database += cpu
		}
		u.written += procNumber(p.pid, "io", "write_bytes:")
	}
	return u
}

// procNumber is the number behind the label in /proc/PID/file; 0 when the process has ended.
func procNumber(pid int, file, label string) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, label); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// ownCPU is the processor time of this process so far.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// memoryOf is the sum of the processes' proportional set sizes, in octets: what several share counts once.
func memoryOf(processes []process) (sum int64) {
	for _, p := range processes {
		sum += procNumber(p.pid, "smaps_rollup", "Pss:") * 1024
	}
	return sum
}

// usageMeter measures CPU, writes and memory of the servers during a load.
type usageMeter struct {
	begin, end usage
	peak       int64 // octets
	stop       chan struct{}
	wg         sync.WaitGroup
}

func (m *usageMeter) before(generator int) error {
	settle(generator)
	m.begin = usageOf(serverProcesses(generator))
	m.stop = make(chan struct{})
	m.wg.Go(func() {
		for {
			m.peak = max(m.peak, memoryOf(serverProcesses(generator)))
			select {
			case <-m.stop:
				return
			case <-time.After(300 * time.Millisecond):
			}
		}
	})
	return nil
}

func (m *usageMeter) after(generator int) error {
	close(m.stop)
	m.wg.Wait()
	settle(generator)
	m.end = usageOf(serverProcesses(generator))
	return nil
}

// settle waits until the servers neither compute nor write for half a second, at most ten seconds: what a server puts
// off until after the load (compaction, index files) belongs to the messages' cost.
func settle(generator int) {
	last := usageOf(serverProcesses(generator))
	for range 20 {
		time.Sleep(500 * time.Millisecond)
		now := usageOf(serverProcesses(generator))
		if now.written == last.written && now.cpu-last.cpu <= 20*time.Millisecond {
			return
		}
		last = now
	}
}
