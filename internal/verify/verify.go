// Package verify reads a whole store and finds any damage: blocks that do not have their checksum, records that cannot be
// read, contents that are missing or have another length, also in the object store, and what does not agree with what else there is. It works on a
// snapshot, so the store may be in use: objects that are missing since what refers to them was deleted are no damage. It changes nothing. What it cannot see is a content that was changed for another
// of the same length, with its checksum.
package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Contents tells of what lies in an object store (bodies.Bodies).
type Contents interface {
	ObjectSizes(ctx context.Context, body bodies.Body) ([]int64, error)
}

// Run reads the store, and asks for the sizes of the objects beside it. progress, which may be nil, is called now and then with what was read so far. Errors: a done
// context, those of the store that keep it from being read at all.
func Run(ctx context.Context, st store.Store, contents Contents, progress func(Report)) (Report, error) {
	snap, err := st.Snapshot()
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	defer snap.Close()
	v := newVerifier(ctx, snap, progress)
	v.st, v.contents = st, contents
	kinds := v.kinds()
	for _, k := range kinds {
		err := v.each(store.Prefix([]byte(k.name)), k.check)
		if err != nil {
			return v.report, err
		}
		if k.end != nil {
			k.end()
		}
	}
	v.agree()
	return v.report, v.strangers(kinds)
}

// verifier is a run.
type verifier struct {
	ctx      context.Context
	snap     store.Snapshot
	st       store.Store // to look again at what may have changed
	progress func(Report)
	report   Report

	accounts map[string]*account // by key
	boxes    map[keys.Box]*box
	drafts   map[bodies.ID]bool
	contents Contents
	unasked  bool     // the object store could not be asked
	content  *content // the one whose chunks are being read
	sessions int64    // octets of their events
}

func newVerifier(ctx context.Context, snap store.Snapshot, progress func(Report)) *verifier {
	return &verifier{
		ctx: ctx, snap: snap, progress: progress,
		accounts: map[string]*account{}, boxes: map[keys.Box]*box{}, drafts: map[bodies.ID]bool{},
	}
}

// kind is a kind of key, as the table in the comment of package keys has them.
type kind struct {
	name  string // what its keys begin with
	check func(e store.Entry)
	end   func() // after the last one; nil: nothing
}

// kinds are all of them, in an order in which each finds what it needs. A test holds it against the table.
func (v *verifier) kinds() []kind {
	return []kind{
		{"domain/", v.domain, nil},
		{"account/", v.account, nil},
		{"alias/", v.alias, nil},
		{"password/", v.password, nil},
		{"scram/", v.scram, nil},
		{"secrets/", v.secret, nil},
		{"forward/", v.forward, nil},
		{"purge/", v.purge, nil},
		{"box/", v.box, nil},
		{"boxes/", v.boxNumber, nil},
		{"validity/", v.uidValidity, nil},
		{"boxcount/", v.boxCounter, nil},
		{"octets/", v.octets, nil},
		{"import/", v.imported, nil},
		{"mail/", v.message, nil},
		{"gone/", v.tombstone, nil},
		{"spool/", v.custody, nil},
		{"due/", v.due, nil},
		{"draft/", v.draft, nil},
		{"sweep/", v.sweep, nil},
		{"body/", v.chunk, v.endContent},
		{"ref/", v.reference, nil},
		{"trail/", v.step, nil},
		{"session/", v.session, nil},
		{"sessions", v.sessionOctets, nil},
		{"node/", v.node, nil},
		{"beat/", v.beat, nil},
		{"nudge/", v.nudge, nil},
		{"maildrop/", v.lock, nil},
		{"layout", v.form, nil},
		{"copying", v.stranger, nil}, // nobody opens such a store to look
		{"claiming", v.claiming, nil},
		{"banned/", v.banned, nil},
		{"known/", v.known, nil},
		{"news/", v.news, nil},
		{"nobody/", v.stranger, nil},
	}
}

// strangers looks for keys of no kind.
func (v *verifier) strangers(kinds []kind) error {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	slices.Sort(names)
	var start []byte
	for _, name := range names {
		if err := v.each(store.Range{Start: start, End: []byte(name)}, v.stranger); err != nil {
			return err
		}
		start = store.After([]byte(name))
	}
	return v.each(store.Range{Start: start}, v.stranger)
}

func (v *verifier) stranger(e store.Entry) {
	v.found(Untidy, fmt.Sprintf("key %q", e.Key), "it is of no kind that this version of waybill writes")
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

// malformed tells of a key that is none of its kind.
func (v *verifier) malformed(e store.Entry) {
	v.found(Damage, fmt.Sprintf("key %q", e.Key), "its fields cannot be read")
}

// progressEvery is how many keys lie between two calls of progress.
const progressEvery = 20_000

// each calls do with each key of r. Where the store cannot be read the rest of these keys is skipped, and that is a finding.
func (v *verifier) each(r store.Range, do func(e store.Entry)) error {
	last := slices.Clone(r.Start)
	for e, err := range v.snap.Scan(r) {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		if errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrUnavailable) {
			return err
		}
		if err != nil {
			v.found(Damage, fmt.Sprintf("the files of the store, after the key %q", last), "they cannot be read, and what follows below %q was not looked at: %v", r.Start, err)
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
	_, ok := v.get(key)
	return ok
}

func (v *verifier) get(key []byte) (value []byte, ok bool) {
	value, _, err := v.snap.Get(key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		v.found(Damage, fmt.Sprintf("key %q", key), "it cannot be read: %v", err)
	}
	return value, err == nil
}

// counter returns the number of a counter.
func (v *verifier) counter(e store.Entry) int64 {
	if len(e.Value) != 8 {
		v.found(Damage, fmt.Sprintf("the counter of key %q", e.Key), "it has %d octets, and must have 8", len(e.Value))
		return 0
	}
	return store.ReadCounter(e.Value)
}
