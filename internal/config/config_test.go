package config

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/config.md")

// golden compares got with a file, or rewrites the file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// TestFiles reads each testdata/*.toml: beside it stands what comes out, every mistake or the values.
func TestFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(filepath.Base(file), data)
		var got string
		if err != nil {
			got = err.Error() + "\n"
			checkMistakes(t, err, data)
		} else {
			values, _ := json.MarshalIndent(c, "", "\t")
			got = string(values) + "\n"
		}
		golden(t, strings.TrimSuffix(file, ".toml")+".txt", got)
	}
}

// checkMistakes: each has a line of the file and says what to write instead, and they are in order.
func checkMistakes(t *testing.T, err error, data []byte) {
	t.Helper()
	all, ok := errors.AsType[Errors](err)
	if !ok {
		t.Fatalf("%T is not Errors", err)
	}
	last := 0
	for _, e := range all {
		if e.Line < max(last, 1) || e.Line > 1+strings.Count(string(data), "\n") || e.Fix == "" || strings.Contains(e.Error(), "\n") {
			t.Errorf("mistake %+v", e)
		}
		last = e.Line
	}
}

// TestPresetsAreTheDefaults: what the reference calls the default is what an empty file gives.
func TestPresetsAreTheDefaults(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("hostname = \"m.test\"\ndata = \"/d\"\nlisten.pop3 = [\"127.0.0.1:110\"]\n")
	for _, s := range settings() {
		if s.key != "listen.pop3" && s.preset != "" && !isArrayTable(tableName(s.key)) {
			text.WriteString(s.key + " = " + s.preset + "\n")
		}
	}
	c, err := Parse("t.toml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	if !slices.Equal(c.Queue.Retry, want.Queue.Retry) || c.Queue.Expire != want.Queue.Expire || c.Limits != want.Limits || c.Submission != want.Submission ||
		len(c.Listen.SMTP)+len(c.Relay.Trusted)+len(c.Relay.Source)+len(c.Auth.CleartextFrom)+len(c.Resolver.Servers) > 0 {
		t.Errorf("%+v, want %+v", c, want)
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	golden(t, "../../docs/config.md", Reference())
	if _, err := Parse("t.toml", []byte(example())); err != nil {
		t.Errorf("the example: %v", err)
	}
	for _, s := range settings() {
		if !strings.Contains(Reference(), "| `"+lastPart(s.key)+"` |") || s.meaning == "" || s.kind == "" {
			t.Errorf("%s is not in the reference", s.key)
		}
	}
}

// FuzzParse: nothing that a file holds stops the program, and what is wrong is told with a line and a remedy.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.toml")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Parse("t.toml", data); err != nil {
			checkMistakes(t, err, data)
		}
	})
}
