package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

// commits are rates of committing a message's batch: by waybill's store in PostgreSQL, and by a writer that does nothing but put the same rows of
// all who wait into one INSERT.
type commits struct{ store, bare []float64 }

// shares are the store's rates in percent of the bare writer's, round by round.
func (c commits) shares() (percent []float64) {
	for i := range c.store {
		percent = append(percent, 100*c.store[i]/c.bare[i])
	}
	return percent
}

// commitsOf is a line of the engine's benchmark.
var commitsOf = regexp.MustCompile(`(?m)^BenchmarkCommit/(store|bare)/\S+\s.*?([0-9.]+) commits/s`)

// measureCommits runs the benchmark of the engine, which takes turns between the two, on a server of its own with the same settings.
func measureCommits(ctx context.Context, o options) (c commits, err error) {
	if o.nodes.engineTests == "" {
		return c, nil
	}
	number := 2 * o.nodes.messages // so that it lasts about as long as a round of the others
	for range o.rounds {
		cmd := exec.CommandContext(ctx, o.nodes.engineTests, "-test.run", "xxx", "-test.bench", fmt.Sprintf("^BenchmarkCommit$/./^callers=%d$", nodesSessions),
			"-test.benchtime", strconv.Itoa(number)+"x")
		cmd.Env = append(os.Environ(), "WAYBILL_BENCH_DIR="+o.dir, "WAYBILL_BENCH_CONTENT=random")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return c, fmt.Errorf("%s: %w: %s", o.nodes.engineTests, err, out)
		}
		if err := c.add(string(out)); err != nil {
			return c, err
		}
		n := len(c.store) - 1
		progress("commits of a message's batch: store %.0f/s, bare writer %.0f/s", c.store[n], c.bare[n])
	}
	return c, nil
}

// add takes the rates of one round from what the benchmark says.
func (c *commits) add(out string) error {
	rates := map[string]float64{}
	for _, m := range commitsOf.FindAllStringSubmatch(out, -1) {
		rates[m[1]], _ = strconv.ParseFloat(m[2], 64)
	}
	if rates["store"] == 0 || rates["bare"] == 0 {
		return fmt.Errorf("the engine's benchmark shows no rates:\n%s", out)
	}
	c.store, c.bare = append(c.store, rates["store"]), append(c.bare, rates["bare"])
	return nil
}
