// Package s3test runs a real S3 server for tests, versitygw, in a directory of its own, on a free port of loopback.
package s3test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/store/objects"
)

// The root user's keys.
const (
	Access = "waybilltests"
	Secret = "secret-of-the-tests"
)

const (
	startTimeout = 30 * time.Second
	portsTried   = 5
)

// Server is a server and its data, which outlive its process: it may be stopped or killed, and started again.
type Server struct {
	Port int

	program string
	dir     string
	wrapper []string // what the program is started by
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	log     *os.File
}

// Find builds the server, or finds that it is built: Go keeps it in its cache. The error says why that cannot be done.
func Find() (program string, err error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	build := exec.Command("go", "tool", "-n", "versitygw")
	build.Dir = filepath.Join(root, "internal/store/objects/s3test/versitygw")
	// What this module's build is told is not meant for that one.
	build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	var said bytes.Buffer
	build.Stderr = &said
	path, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("build versitygw: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.TrimSpace(string(path)), nil
}

// New starts a server with these buckets and ends it with the test. The test is skipped if there is no server.
func New(tb testing.TB, buckets ...string) *Server {
	tb.Helper()
	return start(tb, nil, buckets)
}

// NewSmall is New for a server whose disk has that many octets. The test is skipped where no such disk can be made.
func NewSmall(tb testing.TB, size int64, buckets ...string) *Server {
	tb.Helper()
	if err := exec.Command("unshare", "--mount", "--map-root-user", "true").Run(); err != nil {
		tb.Skip("this system does not let a process have mounts of its own: unshare:", err)
	}
	// The server gets a file system that nobody else sees and that ends with it.
	script := fmt.Sprintf(`mount -t tmpfs -o size=%d tmpfs "$0" && mkdir -p "$0"/meta "$0/data/${0##*/}" %s && exec "$@"`, size, `"$0"/data/`+strings.Join(buckets, ` "$0"/data/`))
	return start(tb, func(data string) []string {
		return []string{"unshare", "--mount", "--map-root-user", "sh", "-c", script, data}
	}, buckets)
}

func start(tb testing.TB, wrap func(dir string) []string, buckets []string) *Server {
	tb.Helper()
	program, err := Find()
	if err != nil {
		tb.Skip("there is no S3 server:", err)
	}
	s, err := Create(program, wrap, buckets...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Remove)
	return s
}

// Create starts a server. wrap, which may be nil, is given the directory of its data and says by what it is started. Remove it after.
func Create(program string, wrap func(dir string) []string, buckets ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "waybill-s3-")
	if err != nil {
		return nil, err
	}
	s := &Server{program: program, dir: dir}
	if wrap != nil {
		s.wrapper = wrap(dir)
	}
	if err := s.create(buckets); err != nil {
		s.Remove()
		return nil, fmt.Errorf("s3test: %w", err)
	}
	return s, nil
}

func (s *Server) create(buckets []string) error {
	for _, name := range append([]string{"meta", "data", "data/" + s.mark()}, prefixed("data/", buckets)...) {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return err
		}
	}
	log, err := os.CreateTemp("", "waybill-s3-log-")
	if err != nil {
		return err
	}
	s.log = log
	for range portsTried {
		if s.Port, err = freePort(); err != nil {
			return err
		}
		if err = s.Start(); !errors.Is(err, errEnded) { // else somebody else may have taken the port
			return err
		}
	}
	return err
}

func prefixed(with string, names []string) (all []string) {
	for _, n := range names {
		all = append(all, with+n)
	}
	return all
}

// freePort draws a port of loopback that is free, and none that the system gives to whoever asks for any: it shall be free when the
// server is started again.
func freePort() (port int, err error) {
	for range 1000 {
		port = 10_000 + rand.IntN(20_000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// Address is host:port.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// Endpoint is the server's URL.
func (s *Server) Endpoint() *url.URL { return &url.URL{Scheme: "http", Host: s.Address()} }

// Remove ends the server and deletes its data.
func (s *Server) Remove() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
	if s.log != nil {
		_ = errors.Join(s.log.Close(), os.Remove(s.log.Name()))
	}
}

// Options are those of a bucket of the server, with short times and nothing logged.
func (s *Server) Options(bucket string) objects.Options {
	return objects.Options{
		Endpoint: s.Endpoint(), Bucket: bucket, Keys: objects.Keys{Access: Access, Secret: Secret, From: "the test"},
		Logger: slog.New(slog.DiscardHandler), Timeout: 10 * time.Second, Pauses: []time.Duration{time.Millisecond, 5 * time.Millisecond},
	}
}

// Open makes the bucket of these options.
func Open(tb testing.TB, o objects.Options) *objects.Bucket {
	tb.Helper()
	b, err := objects.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// File is where the data of an object lie.
func (s *Server) File(bucket, key string) string { return filepath.Join(s.dir, "data", bucket, key) }

// Keys returns the keys of a bucket's objects, as they lie on the disk.
func (s *Server) Keys(tb testing.TB, bucket string) (all []string) {
	tb.Helper()
	root := filepath.Join(s.dir, "data", bucket)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		all = append(all, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// Shared is one server for all tests of a package, started by the first that wants it.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Get returns the server, with a bucket of that name. The test is skipped if there is none.
func (s *Shared) Get(tb testing.TB, bucket string) *Server {
	tb.Helper()
	s.once.Do(func() {
		var program string
		if program, s.err = Find(); s.err == nil {
			s.server, s.err = Create(program, nil)
		}
	})
	if s.err != nil {
		tb.Skip("there is no S3 server:", s.err)
	}
	if err := os.MkdirAll(s.server.File(bucket, ""), 0o700); err != nil {
		tb.Fatal(err)
	}
	return s.server
}

// Remove ends it; for TestMain.
func (s *Shared) Remove() {
	if s.server != nil {
		s.server.Remove()
	}
}
