package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// target names the Maildir or mbox in the memory; "" is the output, of which nobody knows where it is next time.
func (c *fetchCommand) target() (string, error) {
	if !c.toFile() {
		return "", nil
	}
	path, kind := c.Out, "Maildir "
	if c.Mbox != "" {
		path, kind = c.Mbox, "mbox "
	}
	path, err := filepath.Abs(path)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(kind+path)))[:12], err
}

// targetEmpty says whether no message is in the Maildir or mbox: it may be a new one in the place of another.
func (c *fetchCommand) targetEmpty() (bool, error) {
	if c.Mbox != "" {
		info, err := os.Stat(c.Mbox)
		return err == nil && info.Size() == 0, err
	}
	for _, sub := range []string{"new", "cur"} {
		dir, err := os.Open(filepath.Join(c.Out, sub))
		if err != nil {
			return false, err
		}
		_, err = dir.Readdirnames(1)
		dir.Close()
		if err != io.EOF {
			return false, err
		}
	}
	return true, nil
}
