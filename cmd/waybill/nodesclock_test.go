package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestNodesWithWrongClocks: the clocks of two nodes are more than three hours apart. Neither takes the other for dead, and what one puts off
// until a time that is hours away, or took in hours ago, the other delivers at once when it takes over. (At four hours it would be late
// enough for a report to its sender.)
func TestNodesWithWrongClocks(t *testing.T) {
	t.Parallel()
	const wrong = 100 * time.Minute
	c := onSharedDatabase(t, 2, settings{clocks: []time.Duration{wrong, -wrong}})
	ahead, behind := c.all[0], c.all[1]
	load := c.load("w", 1)
	load.await(c, 100)
	ofAhead := c.leave(load, ahead, "wait-ahead")
	if at := load.idOf("wait-ahead-0").Time(); time.Until(at).Round(10*time.Minute) != wrong {
		t.Fatalf("the clock is not wrong: %s", at)
	}
	ahead.kill()
	ofAhead.open()
	ofAhead.taken()
	if n := behind.count("has died"); n != 1 {
		t.Errorf("a node was taken for dead %d times, and died once", n)
	}
	ahead.start()
	ofBehind := c.leave(load, behind, "wait-behind")
	ofBehind.open()
	if behind.stop() != 0 {
		t.Error(behind.complaints())
	}
	ofBehind.taken()
	behind.start()
	load.await(c, 50)
	load.end()
	load.check(c)
	if n := ahead.count("has died") + behind.count("has died"); n != 0 {
		t.Errorf("a node was taken for dead %d times, and none died", n)
	}
}

// wrongClocked builds the program with a clock that may be wrong, by WAYBILL_TEST_CLOCK.
func wrongClocked(t *testing.T) (path string) {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("there is a wrong clock for Linux on amd64 only")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for _, file := range []string{"clock.go", "clock_amd64.s"} {
		replace[filepath.Join(here, file)] = filepath.Join(here, "testdata", "clock", file)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "waybill")
	out, err := exec.Command("go", "build", "-overlay", file, "-ldflags=-checklinkname=0", "-o", path, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func clockSetting(d time.Duration) string { return fmt.Sprintf("WAYBILL_TEST_CLOCK=%s", d) }
