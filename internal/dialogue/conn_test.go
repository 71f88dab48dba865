package dialogue

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// readAll sends input in chunks of size bytes and returns what ReadLine made of it.
func readAll(t *testing.T, input string, size int) string {
	near, far := net.Pipe()
	go func() {
		for len(input) > 0 {
			n := min(size, len(input))
			far.Write([]byte(input[:n]))
			input = input[n:]
		}
		far.Close()
	}()
	c := NewConn(near, time.Second)
	var got strings.Builder
	for {
		line, err := c.ReadLine(20, time.Now().Add(time.Minute))
		switch {
		case errors.Is(err, ErrEndless):
			got.WriteString("(" + err.Error() + ")")
			near.Close() // as the engines do
			return got.String()
		case errors.Is(err, io.EOF):
			return got.String()
		case IsTimeout(err), got.Len() > 1<<16:
			t.Fatalf("%v after %q", err, got.String())
		case err != nil:
			got.WriteString("(" + err.Error() + ")")
		default:
			got.WriteString("[" + string(line) + "]")
		}
	}
}

func TestReadLine(t *testing.T) {
	for in, want := range map[string]string{
		"NOOP\r\nQUIT\r\n":                          "[NOOP][QUIT]",
		"\r\nQUIT\r\n":                              "[][QUIT]",
		"NOOP\nQUIT\r\n":                            "(line ends in LF without CR)[QUIT]",
		"NO\rOP\r\nQUIT\r\n":                        "(CR within a line)[QUIT]",
		"NO\x00OP\r\nQUIT\r\n":                      "(NUL within a line)[QUIT]",
		"NOOP\r\r\n":                                "(CR within a line)",
		strings.Repeat("x", 18) + "\r\nQUIT\r\n":    "[" + strings.Repeat("x", 18) + "][QUIT]",
		strings.Repeat("x", 19) + "\r\nQUIT\r\n":    "(line too long)[QUIT]",
		strings.Repeat("x", 99999) + "\r\nQUIT\r\n": "(line too long)[QUIT]",
		strings.Repeat("x", maxSkipped+5000):        "(line without end)",
		"half a line":                               "",
	} {
		for _, size := range []int{1, 3, 7, 5000} {
			if got := readAll(t, in, size); got != want {
				t.Errorf("%.20q in chunks of %d: got %s, want %s", in, size, got, want)
			}
		}
	}
}

func TestDripDoesNotProlongTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			for {
				time.Sleep(time.Second)
				if _, err := far.Write([]byte("x")); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		_, err := NewConn(near, time.Second).ReadLine(1000, start.Add(10*time.Second))
		if !IsTimeout(err) || time.Since(start) != 10*time.Second {
			t.Errorf("got %v after %v, want a timeout after 10s", err, time.Since(start))
		}
		near.Close()
		time.Sleep(2 * time.Second) // the writer notices
	})
}

func TestUpgradeDiscardsWhatCameBefore(t *testing.T) {
	near, far := net.Pipe()
	go far.Write([]byte("STARTTLS\r\nMAIL FROM:<injected@x.test>\r\n"))
	c := NewConn(near, time.Second)
	if line, err := c.ReadLine(100, time.Now().Add(time.Second)); err != nil || string(line) != "STARTTLS" {
		t.Fatal(string(line), err)
	}
	if !c.LineBuffered() {
		t.Fatal("the injected line is not there to be discarded")
	}
	c.Upgrade(near)
	if c.LineBuffered() {
		t.Error("a line that came before TLS survived the upgrade")
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":            "plain",
		"\x1b[31mred":      "?[31mred",
		"tab\there":        "tab?here",
		"bücher":           "bücher",
		"broken \xff":      "broken ?",
		"\u202eright-left": "?right-left",
		"\u009b31m":        "?31m",
	} {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}
