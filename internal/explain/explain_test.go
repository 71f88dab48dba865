package explain

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"waybill/internal/trail"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// events reads a file with one event a line, as `waybill lab --json` and `waybill explain --json` print them.
func events(t testing.TB, file string) []trail.Event {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := decode(data)
	if err != nil {
		t.Fatal(file, err)
	}
	return all
}

func decode(data []byte) ([]trail.Event, error) {
	var all []trail.Event
	d := json.NewDecoder(bytes.NewReader(data))
	for {
		var e trail.Event
		if err := d.Decode(&e); err == io.EOF {
			return all, nil
		} else if err != nil {
			return all, err
		}
		all = append(all, e)
	}
}

func files(t testing.TB) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(all) == 0 {
		t.Fatal("no files", err)
	}
	return all
}

func render(t testing.TB, events []trail.Event, o Options) string {
	t.Helper()
	var b strings.Builder
	if err := Render(&b, events, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStories(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		got := render(t, events(t, file), Options{})
		golden := strings.TrimSuffix(file, ".jsonl") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s", golden, got)
		}
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9]*m")

// TestPage: whatever the events hold, the page is plain text of the width that was asked for, and colours add nothing
// but colours.
func TestPage(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		all := events(t, file)
		for _, width := range []int{60, 80, 110, 200} {
			plain := render(t, all, Options{Width: width})
			checkPlain(t, plain)
			if colours.ReplaceAllString(render(t, all, Options{Width: width, Color: true}), "") != plain {
				t.Errorf("%s: colours change the text", file)
			}
			for line := range strings.SplitSeq(plain, "\n") {
				words := strings.Fields(line) // one long word cannot be helped
				if n := utf8.RuneCountInString(line); n > width && len(words[len(words)-1]) < width-40 {
					t.Errorf("%s, width %d: %q is too long", file, width, line)
				}
			}
		}
	}
}

func checkPlain(t testing.TB, page string) {
	t.Helper()
	if i := strings.IndexFunc(page, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == '\u202e' }); i >= 0 {
		t.Errorf("%q on the page", page[max(0, i-20):min(len(page), i+20)])
	}
}

// TestReferenceScenario: the steps of the scenario in their order, nothing in the order of the events mattering.
func TestReferenceScenario(t *testing.T) {
	t.Parallel()
	all := events(t, "testdata/letter.jsonl")
	slices.Reverse(all)
	story := Tell(all)
	var titles []string
	for i, s := range story.Steps {
		titles = append(titles, s.Title)
		if s.Number != i+1 {
			t.Errorf("step %d has number %d", i+1, s.Number)
		}
	}
	want := []string{
		"The letter is written",
		"The client finds its mail server and sends the letter",
		"mail.sendingemail.com receives the message and looks up who brings it",
		"mail.sendingemail.com checks the message, adds a header field and relays it",
		"mail.receivingemail.com receives the message and files it for the user",
		"receiver.receivingemail.com retrieves the mail by POP3",
	}
	if !slices.Equal(titles, want) {
		t.Errorf("steps:\n%s", strings.Join(titles, "\n"))
	}
	if len(story.Fates) != 1 || story.Fates[0].State != Delivered || len(story.Troubles) > 0 {
		t.Errorf("fates %+v, troubles %+v", story.Fates, story.Troubles)
	}
}

// TestCauseComesFirst: above everything else stand what failed, why, and what to do.
func TestCauseComesFirst(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"unknown-user": {"Not delivered: nobody@receivingemail.com", "no such user", "said by mail.receivingemail.com", "typing errors"},
		"stranger":     {"Refused: you@receivingemail.com", "closed by default", "Relaying denied", "Log in"},
		"deferred":     {"Not delivered yet: you@b.test", "did not answer", "12:01:31"},
		"no-server":    {"Not delivered", "mial.a.test", "DNS gave no address"},
	} {
		head, _, _ := strings.Cut(render(t, events(t, "testdata/"+file+".jsonl"), Options{Width: 200}), "\n1. ")
		for _, words := range want {
			if !strings.Contains(head, words) {
				t.Errorf("%s: the head lacks %q:\n%s", file, words, head)
			}
		}
	}
}

// TestSeenAndClaimed: the forged letter's claims are told apart from what the servers saw.
func TestSeenAndClaimed(t *testing.T) {
	t.Parallel()
	sights := Tell(events(t, "testdata/forged.jsonl")).Sights
	if len(sights) != 2 || sights[0].Server != "mail.sendingemail.com" || sights[1].Server != "mail.receivingemail.com" {
		t.Fatalf("sights: %+v", sights)
	}
	first, second := sights[0], sights[1]
	check := func(claims []Claim, name, value string, doubtful bool) {
		t.Helper()
		for _, c := range claims {
			if c.Name == name && strings.Contains(c.Value, value) && c.Doubtful == doubtful {
				return
			}
		}
		t.Errorf("no %s with %q (doubtful: %v) in %+v", name, value, doubtful, claims)
	}
	check(first.Seen, "address", "127.0.0.24:", false)
	check(first.Seen, "reverse name", "sender.sendingemail.com", false)
	check(first.Seen, "account", "none", false)
	check(first.Seen, "rule", "[relay] trusted", false)
	check(first.Claimed, "HELO name", "mail.whitehouse.example", true)
	check(first.Claimed, "envelope from", "president@whitehouse.example", false)
	check(first.Claimed, "From", "president@whitehouse.example", false)
	check(first.Claimed, "Received", "0FORGED0000001", true)
	check(second.Claimed, "Received", "0FORGED0000001", true)
	check(second.Claimed, "Received", "by mail.sendingemail.com", false)
}

func TestNothing(t *testing.T) {
	t.Parallel()
	if got := render(t, nil, Options{}); !strings.Contains(got, "Nothing is recorded") {
		t.Errorf("%q", got)
	}
}

func FuzzRender(f *testing.F) {
	for _, file := range files(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 20000 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, _ := decode(data)
		checkPlain(t, render(t, all, Options{}))
	})
}
