package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// users are those whom root lets run the server, which refuses root; the first that the system has.
var users = []string{"postgres", "nobody"}

// settle finds out who runs the server, and gives that one the directory with what is in it.
func (s *Server) settle() (err error) {
	if os.Getuid() != 0 {
		return nil
	}
	if s.as, err = unprivileged(users...); err != nil {
		return err
	}
	for _, file := range []string{s.passwordFile(), s.o.Dir} {
		if err := os.Chown(file, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return fmt.Errorf("PostgreSQL refuses to run as root, and its files cannot be given to another user: %w", err)
		}
	}
	return s.enter()
}

// enter tries whether who runs the server gets into the directory, and at the programs.
func (s *Server) enter() error {
	err := s.command(context.Background(), "initdb", "--version").Run()
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("PostgreSQL refuses to run as root, and the user (uid %d) as whom it runs instead may not enter %s or %s: "+
			"choose a directory below one that everybody may enter", s.as.Uid, s.o.Dir, s.o.Programs)
	}
	return err
}

// unprivileged returns the first of these users that the system has.
func unprivileged(names ...string) (*syscall.Credential, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL refuses to run as root, and this system has none of the users %v to run it: run this as another user", names)
}

// Admit lets who runs the server through a directory of this process's above the server's own, and nobody else.
func Admit(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	as, err := unprivileged(users...)
	if err != nil {
		return err
	}
	if err := os.Chown(dir, -1, int(as.Gid)); err != nil {
		return err
	}
	return os.Chmod(filepath.Clean(dir), 0o710)
}
