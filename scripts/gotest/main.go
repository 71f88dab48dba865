// Command gotest runs `go test` and ends with what was skipped and a count. Its arguments are go test's. A failed
// test's output is shown in full, of the others only the package's line. With CI set, a skipped test is a failure:
// there every peer that a test needs must be installed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	status, err := run(os.Args[1:], os.Getenv("CI") != "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		status = 1
	}
	os.Exit(status)
}

// run executes go test and returns the exit status of this command.
func run(args []string, skipFails bool) (int, error) {
	flags := []string{"test", "-json", "-count=1", "-timeout=10m"}
	if raceWorks() {
		flags = append(flags, "-race")
	} else {
		fmt.Println("no C compiler: the tests run without the race detector (install gcc and libc6-dev)")
	}
	cmd := exec.Command("go", append(flags, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := newReport(os.Stdout)
	readErr := r.read(events)
	waitErr := cmd.Wait()
	r.close()
	var exit *exec.ExitError
	switch {
	case readErr != nil:
		return 1, readErr
	case errors.As(waitErr, &exit):
		return exit.ExitCode(), nil
	case waitErr != nil:
		return 1, waitErr
	case skipFails && len(r.skipped) > 0:
		return 1, errors.New("CI is set, so a skipped test is a failure")
	}
	return 0, nil
}

// raceWorks tells whether the race detector can be linked: it needs cgo, which go env turns off without a compiler.
func raceWorks() bool {
	out, err := exec.Command("go", "env", "CGO_ENABLED").Output()
	if err != nil || strings.TrimSpace(string(out)) != "1" {
		return false
	}
	_, err = os.Stat("/usr/include/stdlib.h")
	return err == nil
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// report turns events into go test's plain output and keeps the count.
type report struct {
	out     io.Writer
	output  map[[2]string]*strings.Builder // package and test → what it printed
	skipped []string
	passed  int
	failed  int
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[[2]string]*strings.Builder{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				r.take(e)
			} else {
				r.out.Write(line) // not an event: go test's own words
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read go test's output: %w", err)
		}
	}
}

func (r *report) take(e event) {
	key := [2]string{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(r.out, e.Output)
	case e.Action == "output":
		b := r.output[key]
		if b == nil {
			b = &strings.Builder{}
			r.output[key] = b
		}
		b.WriteString(e.Output)
	case e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip"):
		r.endPackage(key, e.Action)
	case e.Action == "pass":
		r.passed++
		delete(r.output, key)
	case e.Action == "fail":
		r.failed++
		fmt.Fprint(r.out, r.text(key))
		delete(r.output, key)
	case e.Action == "skip":
		r.skipped = append(r.skipped, e.Package+" "+e.Test+": "+reason(r.text(key)))
		delete(r.output, key)
	}
}

// endPackage prints the package's closing line, and for a failed one everything that it said outside its tests:
// a panic or a timeout stands there or with a test that never ended.
func (r *report) endPackage(key [2]string, action string) {
	for k, b := range r.output {
		if k[0] == key[0] && k[1] != "" && action == "fail" {
			fmt.Fprint(r.out, b.String())
		}
	}
	for line := range strings.Lines(r.text(key)) {
		if action == "fail" || strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "?") {
			fmt.Fprint(r.out, line)
		}
	}
	for k := range r.output {
		if k[0] == key[0] {
			delete(r.output, k)
		}
	}
}

func (r *report) text(key [2]string) string {
	if b := r.output[key]; b != nil {
		return b.String()
	}
	return ""
}

// reason finds the words of t.Skip among a skipped test's output.
func reason(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}

func (r *report) close() {
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "\nskipped (what is missing on this machine):\n")
		for _, s := range r.skipped {
			fmt.Fprintln(r.out, "  "+s)
		}
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
}
