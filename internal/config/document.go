package config

import (
	"bytes"
	"errors"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a TOML file taken apart into assignments with the lines where they stand. Nothing is known here of
// what the keys mean.
type document struct {
	tables      []table
	assignments []assignment
	mistakes    []mistake // lines that are no TOML
}

// table is one [header] or [[header]].
type table struct {
	name  string
	array bool
	line  int
}

// assignment is one key = value.
type assignment struct {
	key   string // with its table: "listen.smtp"
	table int    // index in tables; -1 above the first one
	line  int
	value value
}

// value is a TOML value.
type value struct {
	kind  unstable.Kind
	text  string // a string's content, or a number as it is written
	items []value
	keys  []assignment // of an inline table; key is relative, table unused
	line  int
}

// parseDocument reads data as TOML. What is no TOML is noted, and reading goes on at the next line that looks like
// the beginning of something, so that one slip does not hide the others.
func parseDocument(data []byte) document {
	r := reader{data: data}
	for r.base < len(data) && len(r.doc.mistakes) < maxSlips {
		if !r.run() {
			break
		}
	}
	return r.doc
}

// maxSlips is how many lines that are no TOML are told; with more it is no configuration file.
const maxSlips = 50

// reader walks over the expressions of a file.
type reader struct {
	data   []byte
	base   int // where the parser was last set to begin
	parser unstable.Parser
	doc    document
}

// run parses from base to the end or the next slip, and says whether there is something left behind it.
func (r *reader) run() bool {
	r.parser.Reset(r.data[r.base:])
	for r.parser.NextExpression() {
		r.expression(r.parser.Expression())
	}
	var slip *unstable.ParserError
	if !errors.As(r.parser.Error(), &slip) {
		return false
	}
	at := r.base + int(r.parser.Range(slip.Highlight).Offset)
	r.doc.mistakes = append(r.doc.mistakes, mistake{
		line: r.lineAt(at), problem: "this is no TOML: " + slip.Message, fix: syntaxFix(slip.Message),
	})
	r.base = r.resume(at)
	return true
}

// beginning matches a line on which something begins.
var beginning = regexp.MustCompile(`^[ \t]*(\[|[A-Za-z0-9_."'-]+[ \t]*=)`)

// resume finds where to go on after a slip at that offset: at its own line if that is good in itself, so that the
// culprit is a list or text above it that was not closed, else below it.
func (r *reader) resume(at int) int {
	start := bytes.LastIndexByte(r.data[:at], '\n') + 1
	if start > r.base && beginning.Match(r.line(start)) && r.good(r.line(start)) {
		return start
	}
	for {
		start += len(r.line(start))
		if start >= len(r.data) || beginning.Match(r.line(start)) && start > r.base {
			return start
		}
	}
}

func (r *reader) good(line []byte) bool {
	var p unstable.Parser
	p.Reset(line)
	for p.NextExpression() {
		continue
	}
	return p.Error() == nil
}

// line returns the line that begins at start, with its line end.
func (r *reader) line(start int) []byte {
	if i := bytes.IndexByte(r.data[start:], '\n'); i >= 0 {
		return r.data[start : start+i+1]
	}
	return r.data[start:]
}

func (r *reader) lineAt(offset int) int { return 1 + bytes.Count(r.data[:offset], []byte("\n")) }

func (r *reader) nodeLine(n *unstable.Node) int { return r.lineAt(r.base + int(n.Raw.Offset)) }

func (r *reader) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table, unstable.ArrayTable:
		name, line := r.key(n.Key())
		r.doc.tables = append(r.doc.tables, table{name: name, array: n.Kind == unstable.ArrayTable, line: line})
	case unstable.KeyValue:
		a := r.assignment(n)
		a.table = len(r.doc.tables) - 1
		if a.table >= 0 {
			a.key = r.doc.tables[a.table].name + "." + a.key
		}
		r.doc.assignments = append(r.doc.assignments, a)
	}
}

// key joins the parts of a key by dots.
func (r *reader) key(parts unstable.Iterator) (name string, line int) {
	var names []string
	for parts.Next() {
		names = append(names, string(parts.Node().Data))
		if line == 0 {
			line = r.nodeLine(parts.Node())
		}
	}
	return strings.Join(names, "."), line
}

func (r *reader) assignment(n *unstable.Node) assignment {
	name, line := r.key(n.Key())
	return assignment{key: name, line: line, value: r.value(n.Value(), line)}
}

// value copies a value; line is used where the parser does not tell one.
func (r *reader) value(n *unstable.Node, line int) value {
	v := value{kind: n.Kind, text: string(n.Data), line: line}
	if n.Raw.Length > 0 {
		v.line = r.nodeLine(n)
	}
	children := n.Children()
	for children.Next() {
		switch child := children.Node(); {
		case child.Kind == unstable.Comment:
		case n.Kind == unstable.InlineTable:
			v.keys = append(v.keys, r.assignment(child))
		default:
			v.items = append(v.items, r.value(child, v.line))
		}
	}
	return v
}

// syntaxFix says what to write instead of what the parser stumbled over.
func syntaxFix(message string) string {
	for _, f := range syntaxFixes {
		if strings.Contains(message, f.words) {
			return f.fix
		}
	}
	return "see https://toml.io for how TOML is written"
}

const quoteIt = `put texts, addresses and times into double quotes, as in key = "value"`

// syntaxFixes are found by words of the parser's message, the first one that fits.
var syntaxFixes = []struct{ words, fix string }{
	{"start of value", quoteIt},
	{"be quoted", quoteIt},
	{"expected keyword", quoteIt},
	{"leading zeroes", "write the number without them, or the text in double quotes"},
	{"UTF-8", "save the file as UTF-8"},
	{"escape", `write a backslash as \\`},
	{"need a character", `write a backslash as \\`},
	{"control character", "remove the invisible character"},
	{"carriage returns", "end lines with LF or CR LF"},
	{"array", "put each value of the list into double quotes, commas between them, and ] at its end (it may begin lines above)"},
	{"string", "close the text with a double quote on its own line"},
	{"table name", "write a table as [name] or [[name]] on a line of its own"},
	{"inline table", "close the table with }"},
	{"start of key", "write key = value, or begin a remark with #"},
	{"expected '='", "write key = value"},
	{"expected key", "write key = value"},
	{"expected value", "write key = value"},
	{"got U+", quoteIt + ", one assignment a line"},
}
