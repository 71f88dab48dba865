package explain

import (
	"strings"
	"testing"
)

// TestWhoSaidIt: only what a peer said is put into its mouth, and nothing that is past is announced.
func TestWhoSaidIt(t *testing.T) {
	t.Parallel()
	fates := Tell(events(t, "testdata/expired.jsonl")).Fates
	if len(fates) != 2 || fates[0].State != NotDelivered || fates[1].State != NotDelivered {
		t.Fatalf("%+v", fates)
	}
	down, grey := fates[0], fates[1]
	if down.Words != "" || down.By != "" || down.Finder != "mail.a.test" || !strings.HasPrefix(down.Finding, "550 5.4.7 ") {
		t.Errorf("the host that was down: %+v", down)
	}
	if grey.Words != "451 4.7.1 Greylisted, / come back later" || grey.By != "mx.grey.test [192.0.2.77:25]" ||
		grey.Finding != "550 5.4.7 given up after 15s" || grey.Finder != "mail.a.test" {
		t.Errorf("the host that refused for now: %+v", grey)
	}
	if page := render(t, events(t, "testdata/expired.jsonl"), Options{}); strings.Contains(strings.Split(page, "\n1. ")[0], "Next attempt") {
		t.Errorf("an attempt is announced of a message that was given up:\n%s", page)
	}
	for _, f := range Tell(events(t, "testdata/refused-sender.jsonl")).Fates {
		if f.Words != "550 5.7.1 We know you" || f.By != "mx.b.test [192.0.2.77:25]" || f.Finding != "" {
			t.Errorf("refused for all recipients at once: %+v", f)
		}
	}
}

// TestRefusedWithoutRecipient: both ends tell of one refusal, which is told once, with whose message it was.
func TestRefusedWithoutRecipient(t *testing.T) {
	t.Parallel()
	story := Tell(events(t, "testdata/no-login.jsonl"))
	if len(story.Troubles) != 1 || story.Troubles[0].What != "the message of <me@a.test>" || story.Troubles[0].Rule == "" {
		t.Errorf("%+v", story.Troubles)
	}
	if story.From != "<me@a.test>" || story.Subject != "Grüße" {
		t.Errorf("from %q, subject %q", story.From, story.Subject)
	}
}

// TestBeganIsTheFirstEntry: also where a session began before what is shown of it.
func TestBeganIsTheFirstEntry(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		story := Tell(events(t, file))
		first := story.Steps[0].Entries[0].At
		for _, s := range story.Steps {
			for _, e := range s.Entries {
				if e.At.Before(first) {
					first = e.At
				}
			}
		}
		if !story.Began.Equal(first) {
			t.Errorf("%s: began at %s, but the first entry is of %s", file, story.Began, first)
		}
	}
}

func TestAccountNote(t *testing.T) {
	t.Parallel()
	for text, same := range map[string]bool{
		"<me@a.test>": true, "Me <ME@a.test>": true, "me@a.test": true,
		`"me@a.test" <other@a.test>`: false, "me@a.test, other@a.test": false, "notme@a.test": false, "me@a.test.evil.test": false, "<>": false,
	} {
		if got := accountNote(text, "me@a.test") == "is the account that logged in"; got != same {
			t.Errorf("%s: %v", text, got)
		}
	}
}
