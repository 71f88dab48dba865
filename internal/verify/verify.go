// Package verify reads a whole store and finds any damage: blocks that do not have their checksum, records that cannot be
// read, contents that are missing or have another length, and what does not agree with what else there is. It works on a
// snapshot, so the store may be in use; and it changes nothing.
package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
)

// Severity says how bad a finding is.
type Severity string

const (
	Damage Severity = "damage" // something that somebody was promised is lost or wrong
	Untidy Severity = "untidy" // something is there for nothing; nobody misses anything
)

// Finding is something that is not as it must be.
type Finding struct {
	Severity Severity `json:"severity"`
	What     string   `json:"what"`   // "message 7 of alice@example.test, mailbox 1"
	Detail   string   `json:"detail"` // a sentence
}

// Report is what a run found; findings beyond MaxFindings are counted only.
type Report struct {
	Keys     int64     `json:"keys"`
	Octets   int64     `json:"octets"`
	Messages int64     `json:"messages"` // in mailboxes
	Queued   int64     `json:"queued"`
	Bodies   int64     `json:"bodies"`
	Findings []Finding `json:"findings"`
	Damage   int64     `json:"damage"` // findings of that severity
	Untidy   int64     `json:"untidy"`
}

// MaxFindings bounds the findings of a report.
const MaxFindings = 1000

// Run reads the store. progress, which may be nil, is called now and then with what was read so far. Errors: a done
// context, those of the store that keep it from being read at all.
func Run(ctx context.Context, st store.Store, progress func(Report)) (Report, error) {
	snap, err := st.Snapshot()
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	defer snap.Close()
	v := &verifier{ctx: ctx, snap: snap, progress: progress, accounts: map[string]*holdings{}, boxes: map[keys.Box]*holdings{}}
	for _, check := range []func() error{v.directory, v.mailboxes, v.spool, v.due, v.bodies, v.trail, v.rest} {
		if err := check(); err != nil {
			return v.report, err
		}
	}
	return v.report, nil
}

// verifier is a run.
type verifier struct {
	ctx      context.Context
	snap     store.Snapshot
	progress func(Report)
	report   Report
	accounts map[string]*holdings // by key
	boxes    map[keys.Box]*holdings
}

// holdings are what an account, or a mailbox, was found to have.
type holdings struct {
	known    bool // there is an account, or a mailbox, of that name
	messages int64
	octets   int64
	maxUID   uint32
}

func (v *verifier) found(s Severity, what, detail string, args ...any) {
	if s == Damage {
		v.report.Damage++
	} else {
		v.report.Untidy++
	}
	if len(v.report.Findings) < MaxFindings {
		v.report.Findings = append(v.report.Findings, Finding{s, what, fmt.Sprintf(detail, args...)})
	}
}

// progressEvery is how many keys lie between two calls of progress.
const progressEvery = 20_000

// each calls do with each key that begins with prefix. Where the store cannot be read the rest of these keys is skipped, and
// that is a finding.
func (v *verifier) each(prefix []byte, do func(e store.Entry)) error {
	var last []byte
	for e, err := range v.snap.Scan(store.Prefix(prefix)) {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		if errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrUnavailable) {
			return err
		}
		if err != nil {
			v.found(Damage, fmt.Sprintf("the files of the store, after the key %q", last), "they cannot be read, and what follows below %q was not looked at: %v", prefix, err)
			return nil
		}
		last = append(last[:0], e.Key...)
		v.report.Octets += int64(len(e.Key) + len(e.Value))
		if v.report.Keys++; v.progress != nil && v.report.Keys%progressEvery == 0 {
			v.progress(v.report)
		}
		do(e)
	}
	return nil
}

// has says whether a key is there.
func (v *verifier) has(key []byte) bool {
	_, _, err := v.snap.Get(key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		v.found(Damage, fmt.Sprintf("key %q", key), "it cannot be read: %v", err)
	}
	return err == nil
}

// counter returns the number of a counter, 0 if it is not there.
func (v *verifier) counter(key []byte) int64 {
	value, _, err := v.snap.Get(key)
	if err != nil {
		return 0
	}
	return store.ReadCounter(value)
}

// rest reads what has no structure of its own, for the checksums.
func (v *verifier) rest() error {
	for _, prefix := range []string{"draft/", "sweep/", "gone/", "boxes/", "octets/", "boxcount/", "secrets/", "scram/", "forward/", "purge/", "session/", "import/"} {
		if err := v.each([]byte(prefix), func(store.Entry) {}); err != nil {
			return err
		}
	}
	return nil
}

// bodyOf shows a body's id.
func bodyOf(id bodies.ID) string { return "content " + id.String() }

// isMail says whether a holder is a message in a mailbox.
func isMail(holder string) bool { return bytes.HasPrefix([]byte(holder), []byte("mail/")) }
