package pgserver

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNotInstalled: PostgreSQL's programs are not where they were looked for.
var ErrNotInstalled = errors.New("PostgreSQL's programs initdb and postgres are not there; on Debian `apt install postgresql` installs them")

// debian is where Debian has the programs of each version, which is not in the path.
const debian = "/usr/lib/postgresql/*/bin/postgres"

// Find returns the directory of the server's programs: that of the path, or else of the newest version that Debian's packages have
// installed. Errors: ErrNotInstalled.
func Find() (string, error) {
	onPath, _ := exec.LookPath("postgres")
	return find(onPath, debian)
}

// find looks for the program that is on the path, then for those that fit the pattern.
func find(onPath, pattern string) (string, error) {
	candidates, _ := filepath.Glob(pattern)
	slices.SortFunc(candidates, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	if onPath != "" {
		if real, err := filepath.EvalSymlinks(onPath); err == nil {
			onPath = real
		}
		candidates = append([]string{onPath}, candidates...)
	}
	for _, postgres := range candidates {
		if dir := filepath.Dir(postgres); Check(dir) == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("neither in the path nor in %s: %w", filepath.Dir(pattern), ErrNotInstalled)
}

// Check says whether a directory has the server's programs. Errors: ErrNotInstalled.
func Check(dir string) error {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return fmt.Errorf("%s: %w", dir, ErrNotInstalled)
		}
	}
	return nil
}

// version is that in …/<version>/bin/postgres; 0 if there is none.
func version(path string) float64 {
	v, _ := strconv.ParseFloat(filepath.Base(strings.TrimSuffix(path, "/bin/postgres")), 64)
	return v
}
