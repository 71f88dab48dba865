package pgserver

import (
	"net"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a program that runs.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// begin starts a program that ends when this process does. The system counts that by the thread that starts it, which therefore
// must stay as long as the program.
func begin(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// end sends a signal and waits; who does not end then is killed.
func (p *process) end(how syscall.Signal) {
	_ = p.cmd.Process.Signal(how)
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
