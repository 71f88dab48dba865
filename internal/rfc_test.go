package internal_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	citation = regexp.MustCompile(`\bRFC (\d{3,5})\b`)
	tableRow = regexp.MustCompile(`(?m)^\| *(\d{3,5}) *\|([^|]*)\|([^|]*)\|([^|]*)\|$`)
)

// TestCitedRFCsAreInTheTable: whoever cites an RFC says in docs/rfc.md how far it is kept.
func TestCitedRFCsAreInTheTable(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/rfc.md")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for _, row := range tableRow.FindAllStringSubmatch(string(data), -1) {
		number, status := row[1], strings.TrimSpace(row[3])
		if _, twice := table[number]; twice {
			t.Errorf("docs/rfc.md: RFC %s stands there twice", number)
		}
		if !slices.Contains([]string{"full", "partial", "no"}, status) {
			t.Errorf("docs/rfc.md: RFC %s has the status %q, not full, partial or no", number, status)
		}
		table[number] = status
	}
	if len(table) == 0 {
		t.Fatal("docs/rfc.md has no rows")
	}
	for _, s := range sources(t) {
		text, err := os.ReadFile("../" + s.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, cited := range citation.FindAllStringSubmatch(string(text), -1) {
			if _, ok := table[cited[1]]; !ok {
				t.Errorf("%s cites RFC %s, which docs/rfc.md does not list", s.file, cited[1])
				table[cited[1]] = "" // once is enough
			}
		}
	}
}
