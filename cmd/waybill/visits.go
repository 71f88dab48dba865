package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"waybill/internal/explain"
	"waybill/internal/trail"
)

const (
	sessionIDLength = 12  // of the engines' session ids, which are letters and digits
	maxListed       = 500 // visits
)

// isSession says whether an id can only be a session's: a message's is longer.
func isSession(id string) bool {
	return len(id) == sessionIDLength && strings.Trim(strings.ToUpper(id), "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

func (c *explainCommand) query() (trail.Query, error) {
	now := time.Now()
	q := trail.Query{Session: c.ID, Until: now}
	var err error
	if c.Peer != "" {
		if q.Network, err = peerNetwork(c.Peer); err != nil {
			return q, err
		}
	}
	if q.Since, err = moment(c.Since, now); err != nil {
		return q, usageErrorf("--since %s: %w", c.Since, err)
	}
	if c.Until != "" {
		if q.Until, err = moment(c.Until, now); err != nil {
			return q, usageErrorf("--until %s: %w", c.Until, err)
		}
	}
	if !q.Since.Before(q.Until) {
		return q, usageErrorf("--since is not before --until")
	}
	return q, nil
}

// peerNetwork reads an address or a network.
func peerNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, usageErrorf("--peer %s: write an address or a network, as 192.0.2.1 or 2001:db8::/64", s)
	}
	return p.Masked(), nil
}

// layouts are those in which a time can be given, in UTC, as waybills have it, if it names no zone.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// moment reads how long ago something was, or when.
func moment(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("write how long ago, as 90m or 24h, or a time in UTC, as 2006-01-02T15:04")
}

// visits prints what a peer did, or one session.
func (c *explainCommand) visits(ctx context.Context, std streams, admin admin, hostname string, q trail.Query) error {
	found, err := admin.Visits(ctx, q)
	if err != nil {
		return err
	}
	if c.Peer == "" {
		if len(found.Events) == 0 {
			return fmt.Errorf("%s knows no session %s since %s", hostname, c.ID, found.From.UTC().Format(time.DateTime+" UTC"))
		}
		return c.story(std, found.Events)
	}
	visits := explain.Visits(found.Events)
	if over := len(visits) - maxListed; over > 0 {
		visits = visits[over:]
		found.From = visits[0].At
	}
	if c.JSON {
		err = encodeEach(std.out, visits)
	} else {
		err = explain.RenderVisits(std.out, visits, renderOptions(std.out))
	}
	if found.From.After(q.Since) { // on stderr: it is no visit
		fmt.Fprintf(std.err, "waybill: only the newest are shown, back to %s: choose a shorter time with --since and --until\n", found.From.UTC().Format(time.DateTime+" UTC"))
	}
	if err == nil && len(visits) == 0 {
		return fmt.Errorf("%s saw nothing of %s in that time", hostname, q.Network)
	}
	return err
}
