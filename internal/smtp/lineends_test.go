package smtp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineEndsMatchAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(9, 10))
	for range 50_000 {
		in := randomLines(random, 20)
		split := random.IntN(len(in) + 1)
		first, second := in[:split], in[split:]
		cr := bytes.HasSuffix(first, []byte("\r"))
		got := lineEndsMatch(first, false) && lineEndsMatch(second, cr)
		if _, bare, _ := normalised(append(bytes.Clone(in), "\n"...)); bytes.HasSuffix(in, []byte("\r")) {
			if got == bare {
				t.Fatalf("%q | %q: %t, with LF behind it bare is %t", first, second, got, bare)
			}
			continue
		}
		if _, bare, _ := normalised(in); got == bare {
			t.Fatalf("%q | %q: %t, bare is %t", first, second, got, bare)
		}
	}
}

// TestChunkHasTheAnnouncedSize: what a content has too much is not written, for it would be read as a command; and one that
// has too little, or ends in what may not be sent, never becomes a whole chunk.
func TestChunkHasTheAnnouncedSize(t *testing.T) {
	line := strings.Repeat("x", 70) + "\r\n"
	content := strings.Repeat(line, 2000)
	for name, test := range map[string]struct {
		size    int
		content string
		want    string
	}{
		"as announced":   {len(content), content, ""},
		"too long":       {len(content), content + "RSET\r\n", "more octets"},
		"far too long":   {chunkFrom, content, "more octets"},
		"too short":      {len(content) + 1, content, "not the"},
		"ends in CR":     {len(content) + 1, content + "\r", "bare CR"},
		"bare in a line": {len(content) + 2, content + "\n\n", "bare CR"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := memPipe()
				c := NewClient(near, ClientOptions{})
				defer c.Close()
				c.owed = 0
				s := &sending{chunk: true, Transaction: Transaction{Size: int64(test.size), Content: pieces{[]byte(test.content), rand.New(rand.NewPCG(1, 2))}}}
				done := make(chan error, 1)
				go func() { done <- c.oneChunk(t.Context(), s) }()
				time.Sleep(time.Second)
				if test.want == "" {
					far.Write([]byte("250 taken\r\n"))
				}
				err := <-done
				_, got, _ := strings.Cut(far.in.buf.String(), "LAST\r\n")
				switch {
				case test.want == "":
					if err != nil || got != test.content || !s.results.Data.Success() {
						t.Errorf("%v, %v, %d octets", err, s.results.Data, len(got))
					}
				case err == nil || !strings.Contains(errors.Join(err, errors.Unwrap(err)).Error(), test.want):
					t.Errorf("error %v", err)
				case len(got) >= test.size || !strings.HasPrefix(test.content, got):
					t.Errorf("%d octets were written of a chunk of %d", len(got), test.size)
				}
			})
		})
	}
}
