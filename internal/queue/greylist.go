package queue

import (
	"regexp"
	"strconv"
	"time"
)

// Greylisting (RFC 6647) refuses a stranger's first attempt and takes the second one, if that does not come too soon. So
// the second one is made as soon as it makes sense, and not only when a long schedule says.
const (
	greyTries   = 3               // after that it is a temporary failure like others
	greyFirst   = time.Minute     // to the next attempt, where the host names no time
	greyLater   = 5 * time.Minute // and to the one after it: most hosts wait for that long
	greyLongest = time.Hour       // longest time that is waited because a host names it
)

var (
	greyWords = regexp.MustCompile(`(?i)gr[ae]y[- ]?list`)
	greyAfter = regexp.MustCompile(`(?i)\b(?:in|after|for|wait) (?:at least )?(\d{1,5}) ?(s|sec|secs|seconds?|m|min|mins|minutes?)\b`)
	greyClock = regexp.MustCompile(`\b(\d{1,2}):(\d\d):(\d\d)\b`)
)

// greyDelay is how long to wait where every recipient that was deferred is greylisted by its host.
func greyDelay(deferred []result, attempts int) (delay time.Duration, grey bool) {
	if attempts > greyTries || len(deferred) == 0 {
		return 0, false
	}
	delay = greyFirst
	if attempts > 1 {
		delay = greyLater
	}
	named := time.Duration(0)
	for _, r := range deferred {
		if r.host == "" || !r.last.Temporary() || !greyWords.MatchString(r.last.Text) {
			return 0, false
		}
		named = max(named, namedDelay(r.last.Text))
	}
	if named > 0 {
		delay = min(named+time.Second, greyLongest)
	}
	return delay, true
}

// namedDelay is the time after which a host says that one may come again; 0 if it says none.
func namedDelay(text string) time.Duration {
	if m := greyAfter.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1]) // up to five digits
		if m[2][0] == 'm' || m[2][0] == 'M' {
			return time.Duration(n) * time.Minute
		}
		return time.Duration(n) * time.Second
	}
	if m := greyClock.FindStringSubmatch(text); m != nil {
		d, _ := time.ParseDuration(m[1] + "h" + m[2] + "m" + m[3] + "s")
		return d
	}
	return 0
}
