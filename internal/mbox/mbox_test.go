package mbox

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

type message struct {
	at      int64
	date    string
	content string
	flags   string
}

func readAll(t testing.TB, in io.Reader) (messages []message, err error) {
	t.Helper()
	for r := NewReader(in); ; {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return messages, err
		}
		got := message{at: m.Offset, content: string(content), flags: r.Flags()}
		if !m.Date.IsZero() {
			got.date = m.Date.Format(time.DateTime)
		}
		messages = append(messages, got)
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	text := "\nFrom me@a.test Fri Nov 27 12:00:01 2026\nSubject: one\nStatus: RO\nX-Status: AF\n\n>From here\n>>From there\n\nFrom now on this is text?\n" +
		"From within a paragraph\n\n\nFrom - Sat Nov 28 01:02:03 2026 +0100\r\nSubject: two\r\n\r\nStatus: no header\r\n\r\nFrom nobody\n\nlast line without an end"
	want := []message{
		{1, "2026-11-27 12:00:01", "Subject: one\n\nFrom here\n>From there\n", "ROAF"},
		{107, "", "From within a paragraph\n\n", ""},
		{156, "2026-11-28 01:02:03", "Subject: two\r\n\r\nStatus: no header\r\n", ""},
		{0, "", "\nlast line without an end", ""},
	}
	for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
		got, err := readAll(t, wrap(strings.NewReader(text)))
		if err != nil || len(got) != len(want) {
			t.Fatalf("%+v, %v", got, err)
		}
		for i, m := range got {
			if m.content != want[i].content || m.date != want[i].date || m.flags != want[i].flags {
				t.Errorf("message %d: %+v, want %+v", i, m, want[i])
			}
			if !strings.HasPrefix(text[m.at:], "From ") {
				t.Errorf("message %d is at %d", i, m.at)
			}
		}
	}
}

func TestNoMbox(t *testing.T) {
	t.Parallel()
	if _, err := readAll(t, strings.NewReader("Subject: x\n\n")); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	for _, empty := range []string{"", "\n\n", "\r\n"} {
		if got, err := readAll(t, strings.NewReader(empty)); err != nil || len(got) != 0 {
			t.Errorf("%q: %+v, %v", empty, got, err)
		}
	}
}

// What was written is read as it was, but for line ends and an end of the last line.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	contents := []string{
		"Subject: x\r\n\r\nFrom me\r\n>From you\r\n>>>From all\r\nFro\r\n", "a\r\n\r\n\r\n", "", "no end", "From the start\n\n",
		strings.Repeat("x", 200_000) + "\r\nFrom " + strings.Repeat(">", 3000) + "From \r\n", strings.Repeat(">", 5000) + "From x\r\n",
	}
	var file bytes.Buffer
	w := NewWriter(&file)
	for i, c := range contents {
		if err := w.Write("me@a.test", time.Unix(int64(i), 0), "", iotest.OneByteReader(strings.NewReader(c))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, &file)
	if err != nil || len(got) != len(contents) {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	for i, m := range got {
		want := strings.ReplaceAll(contents[i], "\r\n", "\n")
		if !strings.HasSuffix(want, "\n") && want != "" {
			want += "\n"
		}
		if m.content != want {
			t.Errorf("message %d: %.100q, want %.100q", i, m.content, want)
		}
	}
}

// TestStatus: the fields by which mail readers keep flags are the file's; what a message has of its own is no flag.
func TestStatus(t *testing.T) {
	t.Parallel()
	const fake = "STATUS: RO\nSubject: x\nX-Status: D\n folded: y\nStatus-Of: z\nX-Statu: s\nStatus\nstatus:" + "\n\nStatus: in the body\n"
	var file bytes.Buffer
	w := NewWriter(&file)
	for _, m := range [][2]string{{"", fake}, {"TFRO", fake}, {"A?R", "Status: R"}} {
		if err := w.Write("", time.Unix(0, 0), m[0], iotest.OneByteReader(strings.NewReader(m[1]))); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	const from, rest = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n", "Subject: x\nStatus-Of: z\nX-Statu: s\nStatus\n\nStatus: in the body\n"
	if want := from + rest + "\n" + from + "Status: RO\nX-Status: FT\n" + rest + "\n" + from + "Status: R\nX-Status: A\n\n"; file.String() != want {
		t.Errorf("written:\n%s\nwant:\n%s", file.String(), want)
	}
	got, err := readAll(t, &file)
	if err != nil || len(got) != 3 || got[0].flags != "" || got[1].flags != "ROFT" || got[2].flags != "RA" || got[0].content != rest || got[1].content != rest {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = readAll(t, strings.NewReader(from+"X-Status: "+strings.Repeat("F", 200_000)+"\n G\nStatus:\nA: b\n\n"+strings.Repeat("Status: x\n", 3)))
	if err != nil || len(got) != 1 || len(got[0].flags) > maxFlags || got[0].content != "A: b\n\n"+strings.Repeat("Status: x\n", 3) {
		t.Errorf("%.200v, %v", got, err)
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"From me@a.test Fri Nov 27 12:00:01 2026":            "2026-11-27 12:00:01",
		"From 1568765432@xxx Tue Sep 17 00:12:34 +0000 2019": "2019-09-17 00:12:34",
		"From - Sat Nov 28 01:02:03 2026 +0100":              "2026-11-28 00:02:03",
		"From Some Body  Sat Nov  7 01:02:03 2026":           "2026-11-07 01:02:03",
		"From me Fri Nov 27 12:00:01 UTC 2026":               "2026-11-27 12:00:01",
		"From me Fri Nov 27 12:00 2026":                      "2026-11-27 12:00:00",
		"From Fri Nov 27 12:00:01 2026":                      "2026-11-27 12:00:01",
		"From ":                                              "0001-01-01 00:00:00",
		"From me " + strings.Repeat("x ", 10_000):            "0001-01-01 00:00:00",
	} {
		if got := dateOf(line).UTC().Format(time.DateTime); got != want {
			t.Errorf("%.60s has %s, want %s", line, got, want)
		}
	}
}

// FuzzReader: what is read and written again is read the same, whatever it was.
func FuzzReader(f *testing.F) {
	f.Add("From me\nx\n\nFrom you\ny\n")
	f.Add(">From \n")
	f.Add("From x\nStatus: RO\n f\nX-Status:A\n\nb")
	f.Add("From \n \nStAtus:A") // a folded line first
	f.Fuzz(func(t *testing.T, text string) {
		messages, err := readAll(t, strings.NewReader(text))
		if err != nil {
			return
		}
		var file bytes.Buffer
		w := NewWriter(&file)
		for _, m := range messages {
			if err := w.Write("x", time.Unix(0, 0), m.flags, strings.NewReader(m.content)); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
		again, err := readAll(t, &file)
		if err != nil || len(again) != len(messages) {
			t.Fatalf("%q: %d messages, then %d, %v", text, len(messages), len(again), err)
		}
		for i, m := range messages {
			want := strings.ReplaceAll(m.content, "\r\n", "\n")
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			if again[i].content != want {
				t.Errorf("%q: message %d was %q, is %q", text, i, want, again[i].content)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	text := strings.Repeat("From me Fri Nov 27 12:00:01 2026\nSubject: x\n\n"+strings.Repeat("All work and no play makes Jack a dull boy, they say.\n", 80)+"\n", 100)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(strings.NewReader(text))
		for {
			if _, err := r.Next(); err != nil {
				break
			}
			io.Copy(io.Discard, r)
		}
	}
}
