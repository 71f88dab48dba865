package pgtest

import (
	"sync"
	"testing"
)

// Shared is a server for all tests of a package that leave it alone, made by the first of them. Its zero value is ready for use.
type Shared struct {
	made   sync.Once
	server *Server
	err    error
}

// Get returns the server, made with these settings of postgresql.conf. The test is skipped if there is no PostgreSQL.
func (s *Shared) Get(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	programs := find(tb)
	s.made.Do(func() { s.server, s.err = Create(programs, "", append(settings, "fsync=off")...) })
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.server
}

// Remove ends the server, if any test wanted it. It is for TestMain, when all of them have ended.
func (s *Shared) Remove() {
	if s.server != nil {
		s.server.Remove()
	}
}
