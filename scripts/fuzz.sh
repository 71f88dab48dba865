#!/usr/bin/env bash
# fuzz.sh [TIME]: runs every fuzz target of every package for TIME (default 10s; or a number of runs, as 5000x), one after
# the other. A failing input is kept by go test under the package's testdata/fuzz: commit it, it is a test from then on.
set -euo pipefail
cd "$(dirname "$0")/.."
time="${1:-10s}"
targets=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The packages whose tests declare a target; `go test -list` then tells the names that really compile in.
packages=$(grep -rlE '^func Fuzz' --include='*_test.go' cmd internal scripts | xargs -r -n1 dirname | sort -u)
for package in $packages; do
	go test -list '^Fuzz' "./$package" >"$log" || { cat "$log"; exit 1; }
	for name in $(grep '^Fuzz' "$log" || true); do
		run() { go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -timeout 10m "./$package" >"$log" 2>&1; }
		# Go's fuzzer sometimes takes the end of its own time for a failure: then it names no failing input.
		if ! run && { grep -q 'Failing input' "$log" || ! grep -q 'context deadline exceeded' "$log" || ! run; }; then
			cat "$log"
			exit 1
		fi
		echo "fuzz $package $name: $(grep -oE 'execs: [0-9]+' "$log" | tail -n 1)"
		targets=$((targets + 1))
	done
done
echo "fuzzed $targets targets for $time each"
