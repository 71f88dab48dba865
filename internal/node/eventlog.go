package node

import (
	"context"
	"log/slog"

	"waybill/internal/trail"
)

// observer is who sees every event: the metrics, the log, and whoever made the node.
func (n *Node) observer(further func(trail.Event)) func(trail.Event) {
	return func(e trail.Event) {
		if n.metrics != nil {
			n.metrics.Observe(e)
		}
		logEvent(n.logger, &e)
		if further != nil {
			further(e)
		}
	}
}

// logLine is how a kind of event stands in the log. What is not in the table stands in the waybill only.
type logLine struct {
	level slog.Level
	text  string
}

func lineOf(kind trail.Kind) (logLine, bool) {
	switch kind {
	case trail.Received:
		return logLine{slog.LevelInfo, "accepted"}, true
	case trail.Refused:
		return logLine{slog.LevelInfo, "refused"}, true
	case trail.Filed:
		return logLine{slog.LevelInfo, "filed"}, true
	case trail.Relayed:
		return logLine{slog.LevelInfo, "relayed"}, true
	case trail.Deferred:
		return logLine{slog.LevelInfo, "deferred"}, true
	case trail.Failed:
		return logLine{slog.LevelInfo, "failed"}, true
	case trail.Bounced:
		return logLine{slog.LevelInfo, "reported"}, true
	case trail.Suppressed:
		return logLine{slog.LevelInfo, "not reported"}, true
	case trail.Managed:
		return logLine{slog.LevelInfo, "managed"}, true
	case trail.Attempted:
		return logLine{slog.LevelDebug, "attempted"}, true
	case trail.Decided, trail.Routed:
		return logLine{slog.LevelDebug, "decided"}, true
	case trail.Done:
		return logLine{slog.LevelDebug, "done"}, true
	case trail.Ended, trail.MaildropClosed:
		return logLine{slog.LevelDebug, "session ended"}, true
	case trail.MaildropOpened:
		return logLine{slog.LevelDebug, "POP3 login"}, true
	case trail.Fetched:
		return logLine{slog.LevelDebug, "fetched"}, true
	case trail.Deleted:
		return logLine{slog.LevelDebug, "deleted"}, true
	}
	return logLine{}, false
}

// logEvent writes the log line of an event. Nothing is formatted unless it is wanted: this runs for every step of every
// message.
func logEvent(logger *slog.Logger, e *trail.Event) {
	line, shown := lineOf(e.Kind)
	if e.Kind == trail.Refused && e.Session == "" && e.Role != proxyRole {
		line.level = slog.LevelDebug // what came to no session: a flood must not become one of lines; the metrics count it
	}
	if !shown || !logger.Enabled(context.Background(), line.level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("message", string(e.Message))
	add("session", e.Session)
	if e.Peer != nil {
		add("peer", e.Peer.Addr)
		add("account", e.Peer.Account)
	}
	for _, f := range e.Facts {
		switch f.Name {
		case "reverse-path":
			add("from", f.Value)
		case "size", "mailbox", "host":
			add(f.Name, f.Value)
		}
	}
	add("to", e.Recipient)
	if e.Attempt > 0 {
		attrs = append(attrs, slog.Int("attempt", e.Attempt))
	}
	if e.Status != nil {
		add("status", e.Status.String())
	}
	if e.Decision != nil {
		add("outcome", e.Decision.Outcome)
		add("rule", e.Decision.Rule)
		add("reason", e.Decision.Reason)
	}
	add("ref", string(e.Ref))
	if !e.NextAt.IsZero() {
		attrs = append(attrs, slog.Time("next", e.NextAt))
	}
	logger.LogAttrs(context.Background(), line.level, line.text, attrs...)
}
