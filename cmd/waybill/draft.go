package main

import (
	"errors"
	"io"
	"os"
)

// rereadable is octets that can be read more than once: a file, or what was copied from a pipe into one without a name. However
// large, it needs no memory. Close it.
type rereadable struct {
	*io.SectionReader
	file *os.File
}

func (s rereadable) Close() error { return s.file.Close() }

// openSource opens a file, or a copy of it if it is a pipe or the like.
func openSource(path string) (rereadable, error) {
	f, err := os.Open(path)
	if err != nil {
		return rereadable{}, err
	}
	if s, ok := section(f); ok {
		return s, nil
	}
	s, err := spooled(f)
	return s, errors.Join(err, f.Close())
}

// readSource is what a stream still has.
func readSource(in io.Reader) (rereadable, error) {
	if f, ok := in.(*os.File); ok {
		if s, ok := section(f); ok {
			return s, nil
		}
	}
	return spooled(in)
}

// section is what a regular file has now, from where it is read next.
func section(f *os.File) (s rereadable, ok bool) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return s, false
	}
	at, err := f.Seek(0, io.SeekCurrent)
	return rereadable{io.NewSectionReader(f, at, max(0, info.Size()-at)), f}, err == nil
}

func spooled(in io.Reader) (rereadable, error) {
	f, err := spoolFile()
	if err != nil {
		return rereadable{}, err
	}
	n, err := io.Copy(f, in)
	if err != nil {
		return rereadable{}, errors.Join(err, f.Close())
	}
	return rereadable{io.NewSectionReader(f, 0, n), f}, nil
}

// spoolFile makes a file without a name: in TMPDIR or /var/tmp, because /tmp is memory on many machines.
func spoolFile() (*os.File, error) {
	dir := os.Getenv("TMPDIR")
	if info, err := os.Stat("/var/tmp"); dir == "" && err == nil && info.IsDir() {
		dir = "/var/tmp"
	}
	f, err := os.CreateTemp(dir, "waybill-spool-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
