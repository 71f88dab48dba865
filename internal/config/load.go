package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFile bounds a configuration file, in octets.
const maxFile = 1 << 20

// Load reads and checks a configuration file, and what it names: that data is or can become a directory, and that the
// certificate and its key are such and belong together. The error is of type Errors: every mistake at once.
func Load(file string) (Config, error) {
	data, err := read(file)
	if err != nil {
		return Config{}, Errors{{File: file, Problem: "cannot be read: " + err.Error(), Fix: "name a configuration file"}}
	}
	l := load(file, data)
	l.checkData()
	l.checkCertificate()
	l.checkRouteFiles()
	l.checkBodies()
	return l.result()
}

// Parse checks a configuration given as TOML. file stands in errors, and file names in data are relative to its
// directory. The error is of type Errors: every mistake at once.
func Parse(file string, data []byte) (Config, error) { return load(file, data).result() }

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it is larger than %d octets", maxFile)
	}
	return data, cause(err)
}

// cause drops the operation and the file name from an error, which stand beside it.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// loader turns a document into a Config and collects mistakes.
type loader struct {
	file     string
	config   Config
	settings map[string]setting
	lines    map[string]int // where each key was set first; keys of domains and routes have their index: "domain.0.name"
	domains  []int          // the line of each domain
	routes   []int          // the line of each route
	torn     bool           // some lines could not be read
	end      int            // the last line
	errors   Errors
}

func load(file string, data []byte) *loader {
	l := &loader{file: file, config: Default(), settings: map[string]setting{}, lines: map[string]int{}}
	for _, s := range settings() {
		l.settings[s.key] = s
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors put it there
	doc := parseDocument(data)
	for _, m := range doc.mistakes {
		l.wrong(m.line, "", m.problem, m.fix)
	}
	l.torn = len(doc.mistakes) > 0
	l.end = 1 + bytes.Count(bytes.TrimRight(data, "\r\n"), []byte("\n"))
	l.document(doc)
	l.resolveFiles()
	l.check(doc)
	l.checkListens(doc)
	if len(l.errors) == 0 { // what remains of TOML's own rules
		var rest map[string]any
		if bad, ok := errors.AsType[*toml.DecodeError](toml.Unmarshal(data, &rest)); ok {
			line, _ := bad.Position()
			l.wrong(line, "", "this is no TOML: "+bad.Error(), "see https://toml.io for how TOML is written")
		}
	}
	return l
}

func (l *loader) result() (Config, error) {
	if len(l.errors) == 0 {
		return l.config, nil
	}
	slices.SortStableFunc(l.errors, func(a, b Error) int { return a.Line - b.Line })
	return Config{}, l.errors
}

func (l *loader) wrong(line int, key, problem, fix string) {
	l.errors = append(l.errors, Error{File: l.file, Line: max(line, 1), Key: key, Problem: problem, Fix: fix})
}

// Tables that stand once for each of several things.
const (
	domainTable = "domain"
	routeTable  = "route"
)

func isArrayTable(name string) bool { return name == domainTable || name == routeTable }

// document goes through the tables and assignments in their order.
func (l *loader) document(doc document) {
	row := make([]int, len(doc.tables)) // of each table: its index in Domains or Routes, or -1
	known := make([]bool, len(doc.tables))
	seen := map[string]int{}
	for i, t := range doc.tables {
		known[i], row[i] = l.table(t, seen), -1
		if known[i] && isArrayTable(t.name) {
			row[i] = l.addRow(t.name, t.line)
		}
	}
	for _, a := range doc.assignments {
		switch {
		case a.table < 0:
			l.assign(a, -1)
		case known[a.table]:
			l.assign(a, row[a.table])
		}
	}
}

// addRow begins a further domain or route and returns its index.
func (l *loader) addRow(table string, line int) int {
	if table == routeTable {
		l.routes = append(l.routes, line)
		l.config.Routes = append(l.config.Routes, Route{TLS: RouteTLSOpportunistic})
		return len(l.routes) - 1
	}
	l.domains = append(l.domains, line)
	l.config.Domains = append(l.config.Domains, Domain{})
	return len(l.domains) - 1
}

// table checks a header and says whether its keys are to be looked at.
func (l *loader) table(t table, seen map[string]int) bool {
	shown := "[" + t.name + "]"
	if !l.isTable(t.name) {
		if _, ok := l.settings[t.name]; ok {
			l.wrong(t.line, shown, "this is a key, not a table", "write "+lastPart(t.name)+" = … "+placeOf(t.name))
			return false
		}
		l.wrong(t.line, shown, "there is no such table", l.suggestTable(t.name))
		return false
	}
	if isArray := isArrayTable(t.name); isArray != t.array {
		want := map[bool]string{true: "[[" + t.name + "]]", false: shown}[isArray]
		l.wrong(t.line, map[bool]string{true: "[[" + t.name + "]]", false: shown}[t.array], "this table is written with other brackets", "write "+want)
		return true
	}
	if first, twice := seen[t.name]; twice && !t.array {
		l.wrong(t.line, shown, fmt.Sprintf("the table is there already, in line %d", first), "put its keys there")
		return true
	}
	seen[t.name] = t.line
	return true
}

// assign sets one key, or those of an inline table.
func (l *loader) assign(a assignment, row int) {
	s, known := l.settings[a.key]
	switch {
	case isArrayTable(a.key) && a.value.kind == unstable.Array:
		for _, item := range a.value.items {
			l.inline(assignment{key: a.key, line: item.line, value: item}, l.addRow(a.key, item.line))
		}
		return
	case !known && a.value.kind == unstable.InlineTable && l.isTable(a.key) && !isArrayTable(a.key):
		l.inline(a, -1)
		return
	case !known || row < 0 && isArrayTable(tableName(a.key)):
		l.wrong(a.line, a.key, "there is no such key", l.suggestKey(a.key))
		return
	}
	place, t := a.key, target{config: &l.config}
	if row >= 0 {
		place = rowKey(tableName(a.key), row, lastPart(a.key))
	}
	switch tableName(a.key) {
	case domainTable:
		t.domain = &l.config.Domains[row]
	case routeTable:
		t.route = &l.config.Routes[row]
	}
	if first, twice := l.lines[place]; twice {
		l.wrong(a.line, a.key, fmt.Sprintf("the key is set already, in line %d", first), "keep one of the two")
		return
	}
	l.lines[place] = a.line
	for _, m := range s.set(t, a.value) {
		l.wrong(m.line, a.key, m.problem, m.fix)
	}
}

func (l *loader) inline(a assignment, row int) {
	if a.value.kind != unstable.InlineTable {
		l.wrong(a.line, "[["+a.key+"]]", "a "+a.key+" is a table", "write [["+a.key+"]] and below it "+firstLine[a.key])
		return
	}
	for _, inner := range a.value.keys {
		inner.key = a.key + "." + inner.key
		l.assign(inner, row)
	}
}

// firstLine is what a table of those that stand several times must have.
var firstLine = map[string]string{domainTable: `name = "example.test"`, routeTable: `domains = ["example.test"]`}

// rowKey names the place of a key of the domain or route with that index.
func rowKey(table string, row int, key string) string {
	return fmt.Sprintf("%s.%d.%s", table, row, key)
}

// tableName is the table of a key, "" for none.
func tableName(key string) string {
	if name, _, ok := cutLast(key, '.'); ok {
		return name
	}
	return ""
}

// resolveFiles makes file names relative to the configuration's directory.
func (l *loader) resolveFiles() {
	names := []*string{&l.config.Data, &l.config.TLS.Cert, &l.config.TLS.Key, &l.config.Bodies.Credentials}
	for i := range l.config.Routes {
		names = append(names, &l.config.Routes[i].CA, &l.config.Routes[i].PasswordFile)
	}
	for _, name := range names {
		if *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(filepath.Dir(l.file), *name)
		}
	}
}
