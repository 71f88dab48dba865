// Package internal_test holds the rules that the code as a whole must keep: the layers, no hidden state, and a table
// of the RFCs that it cites.
package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ranks are the layers, lowest first. A package imports only packages of lower ranks, and those of its own rank that
// families lists for it. The agents of rank 4 never know one another: each declares the small interfaces that it
// consumes, and node connects them.
var ranks = [][]string{
	{"mail", "config", "dialogue", "scram", "lineend"}, // words, no I/O beyond their own file or connection
	{ // codecs, and the store's engine
		"smtp", "pop3", "proxyproto", "message", "dns", "dns/dnstest", "routing", "srs", "maildir", "mbox",
		"store", "store/keys", "store/record", "store/bodies", "store/watch", "store/pebble", "store/pebble/pebbletest",
		"store/postgres", "store/postgres/pgserver", "store/postgres/pgtest", "store/storetest", "store/faultfs", "store/lease", "store/layout",
		"store/storecopy", "store/secret", "store/news", "store/objects", "store/objects/s3test",
	},
	{"spool", "mailbox", "directory", "guard", "trail"}, // what is stored
	{"login", "verify"}, // who a client is, from what is stored; and whether that is whole
	{ // agents, and what shows their work
		"receiver", "queue", "relay", "localdelivery", "maildrop", "explain", "mua", "control", "metrics", "web",
	},
	{"node"},
	{"lab", "setup"},
	{"cmd/waybill"},
}

// families are the imports allowed within a rank.
var families = map[string][]string{
	"dns/dnstest":     {"dns"},
	"store/keys":      {"store"},
	"store/bodies":    {"store", "store/keys", "store/record", "store/objects", "store/secret"},
	"store/watch":     {"store"},
	"store/secret":    {"store", "store/keys", "store/record"},
	"store/news":      {"store", "store/keys", "store/record"},
	"store/pebble":    {"store", "store/watch"},
	"store/postgres":  {"store", "store/watch"},
	"store/storetest": {"store"},
	"store/lease":     {"store", "store/keys", "store/record"},
	"store/layout":    {"store", "store/keys", "store/record"},
	"store/storecopy": {"store", "store/keys", "store/record"},

	"store/pebble/pebbletest": {"store/pebble"},
	"store/postgres/pgtest":   {"store/postgres/pgserver"},
	"store/objects/s3test":    {"store/objects"},
}

// libraries may be imported by these packages only, so that they can be replaced in one place.
var libraries = map[string][]string{
	"github.com/miekg/dns":          {"dns", "dns/dnstest"},
	"github.com/cockroachdb/pebble": {"store/pebble", "store/pebble/pebbletest", "store/faultfs"},
	"github.com/jackc/pgx":          {"store/postgres", "store/postgres/pgserver", "store/postgres/pgtest"},
	"github.com/minio/minio-go":     {"store/objects"},
	"github.com/pelletier/go-toml":  {"config"},
	"github.com/alecthomas/kong":    {"cmd/waybill"},
	"github.com/prometheus":         {"metrics"},
	"github.com/xdg-go/scram":       {"scram"},
}

// inTests are the libraries that any test may use besides: Pebble's file systems that crash and fail.
var inTests = []string{"github.com/cockroachdb/pebble"}

// tools are programs of the repository that are no part of waybill; they import nothing of it.
const tools = "scripts/"

// source is one parsed file.
type source struct {
	file    string // relative to the repository
	pkg     string // as in ranks
	test    bool
	syntax  *ast.File
	imports []string
}

var fset = token.NewFileSet()

// sources parses every Go file of the repository.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	const root = ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		syntax, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		file := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		s := source{file: file, test: strings.HasSuffix(file, "_test.go"), syntax: syntax}
		s.pkg = strings.TrimPrefix(file[:max(0, strings.LastIndexByte(file, '/'))], "internal/")
		for _, i := range syntax.Imports {
			name, _ := strconv.Unquote(i.Path.Value)
			s.imports = append(s.imports, name)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no Go files found")
	}
	return all
}

func rankOf(pkg string) int {
	return slices.IndexFunc(ranks, func(r []string) bool { return slices.Contains(r, pkg) })
}

func TestImportsGoDownTheRanks(t *testing.T) {
	t.Parallel()
	present := map[string]bool{}
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.pkg, tools) {
			continue
		}
		present[s.pkg] = true
		rank := rankOf(s.pkg)
		if rank < 0 {
			t.Errorf("%s: package %s has no rank; give it one in internal/layers_test.go", s.file, s.pkg)
			continue
		}
		for _, i := range s.imports {
			pkg, ours := strings.CutPrefix(i, "waybill/")
			pkg = strings.TrimPrefix(pkg, "internal/")
			if !ours || rankOf(pkg) < rank && rankOf(pkg) >= 0 || slices.Contains(families[s.pkg], pkg) {
				continue
			}
			t.Errorf("%s (rank %d) imports %s (rank %d): imports go strictly downward; declare a small interface "+
				"and let node connect the two", s.file, rank, pkg, rankOf(pkg))
		}
	}
	for _, pkg := range slices.Concat(ranks...) {
		if !present[pkg] {
			t.Errorf("package %s has a rank but is not there", pkg)
		}
	}
}

func TestToolsStandAlone(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, i := range s.imports {
			if strings.HasPrefix(s.pkg, tools) && strings.HasPrefix(i, "waybill/") {
				t.Errorf("%s imports %s: a tool measures or runs waybill from outside", s.file, i)
			}
		}
	}
}

func TestLibrariesStayInOnePackage(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for library, packages := range libraries {
			if slices.Contains(packages, s.pkg) || s.test && slices.Contains(inTests, library) {
				continue
			}
			for _, i := range s.imports {
				if i == library || strings.HasPrefix(i, library+"/") {
					t.Errorf("%s imports %s, which only %s may", s.file, i, strings.Join(packages, ", "))
				}
			}
		}
	}
}

func TestNoInit(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init(): wire it where it is used", fset.Position(f.Pos()))
			}
		}
	}
}

// TestNoPackageState allows package variables that are tables, sentinel errors, compiled patterns, pools of buffers,
// embedded files and interface checks; anything else is state that two nodes in one process would share.
func TestNoPackageState(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if !embedded(g, v) && !constantLike(v) {
					t.Errorf("%s: package variable %s: hand it in through a constructor", fset.Position(v.Pos()), v.Names[0].Name)
				}
			}
		}
	}
}

// embedded tells whether a variable is filled by a //go:embed directive.
func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// makers are functions of libraries whose results never change.
var makers = []string{
	"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "template.Must",
	"netip.MustParsePrefix", "netip.MustParseAddr", "netip.MustParseAddrPort", "netip.AddrFrom4",
	"mail.NewStatus", "mail.StatusOf", "time.Unix", "time.Date", "base32.NewEncoding", "base64.NewEncoding", "big.NewInt",
}

// constantLike tells whether a variable's values are fixed when the program starts: literals, values made by makers, and
// what a function of the same package computes for a table (an argumentless call or a function literal that is called).
func constantLike(v *ast.ValueSpec) bool {
	if v.Names[0].Name == "_" {
		return true
	}
	if len(v.Values) == 0 {
		return false
	}
	for _, value := range v.Values {
		if !fixed(value) {
			return false
		}
	}
	return true
}

func fixed(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return true
	case *ast.UnaryExpr:
		_, literal := e.X.(*ast.CompositeLit)
		return literal
	case *ast.CallExpr:
		switch f := e.Fun.(type) {
		case *ast.FuncLit:
			return true
		case *ast.ArrayType: // []byte("…")
			return true
		case *ast.Ident:
			return f.Name != "make" && f.Name != "new"
		case *ast.SelectorExpr:
			if inner, ok := f.X.(*ast.CallExpr); ok { // base32.NewEncoding(…).WithPadding(…)
				return fixed(inner)
			}
			name, _ := f.X.(*ast.Ident)
			return name != nil && slices.Contains(makers, name.Name+"."+f.Sel.Name)
		}
	}
	return false
}
