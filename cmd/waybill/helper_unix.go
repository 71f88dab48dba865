//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"waybill/internal/config"
	"waybill/internal/control"
)

// helper is a process that has the store open.
type helper struct {
	*control.Client
	process *exec.Cmd
	stdin   io.Closer
}

// helperPatience is how long what a helper has started may hold its standard error open.
const helperPatience = 5 * time.Second

// startHelper runs helperCommand as another user, in a session of its own: an interrupt of ours does not end it before us, and
// it has no terminal, which the other user could type into.
func startHelper(conf config.Config, file string, std streams, uid, gid int) (admin, error) {
	failed := func(err error) (admin, error) {
		name := userName(uid)
		return nil, fmt.Errorf("the store in %s belongs to the user %s, and cannot be opened as that user: %w; try it with sudo -u %[2]s", conf.Data, name, err)
	}
	program, err := os.Executable()
	if err != nil {
		return failed(err)
	}
	if _, err := os.Stat("/proc/self/exe"); err == nil {
		program = "/proc/self/exe" // may be in a directory that the other cannot enter
	}
	cmd := exec.Command(program, "offline-helper", "--config", file)
	cmd.Env, cmd.Dir, cmd.Stderr = []string{}, "/", struct{ io.Writer }{std.err} // by a pipe, whatever that is
	cmd.WaitDelay = helperPatience
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credentialOf(uid, gid), Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return failed(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return failed(err)
	}
	if err := cmd.Start(); err != nil {
		return failed(err)
	}
	said := make([]byte, len(helperReady))
	_, err = io.ReadFull(stdout, said)
	if string(said) == helperInUse {
		return nil, errors.Join(inUse(conf.Data), stdin.Close(), cmd.Wait())
	}
	if err != nil || string(said) != helperReady {
		return failed(errors.Join(stdin.Close(), cmd.Wait()))
	}
	return &helper{control.NewClientOf(filepath.Join(conf.Data, helperSocket)), cmd, stdin}, nil
}

// Close ends the process when it has closed the store.
func (h *helper) Close() error {
	return errors.Join(h.Client.Close(), h.stdin.Close(), h.process.Wait())
}

// credentialOf is a user with all its groups.
func credentialOf(uid, gid int) *syscall.Credential {
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return c
	}
	ids, _ := u.GroupIds() // without them it has those of the store
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(n))
		}
	}
	return c
}
