package metrics

import (
	"errors"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

func states() States {
	return States{
		Sessions:       func() map[string]int { return map[string]int{"smtp": 3} },
		Queue:          func() QueueState { return QueueState{Messages: 7, Overdue: time.Minute, Known: true} },
		CommitsWaiting: func() int { return 2 },
		Healthy:        func() error { return errors.New("shutting down") },
		DiskFree:       func() (uint64, error) { return 5, nil },
		CertificateEnd: func() time.Time { return time.Unix(1000, 0) },
	}
}

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// TestObserve: each kind of event is counted where it belongs, and what strangers make up is no label.
func TestObserve(t *testing.T) {
	t.Parallel()
	tls13 := &trail.TLS{Version: "TLS 1.3"}
	status := func(code int) *mail.Status { return &mail.Status{Code: code} }
	for _, c := range []struct {
		e    trail.Event
		want []string
	}{
		{trail.Event{Kind: trail.Accepted, Role: "MSA"}, []string{`waybill_messages_accepted_total{role="MSA"} 1`}},
		{trail.Event{Kind: trail.Received, TLS: tls13}, []string{`waybill_tls_total{direction="in",version="TLS 1.3"} 1`}},
		{trail.Event{Kind: trail.Durable, Took: 3 * time.Millisecond}, []string{`waybill_accept_commit_seconds_bucket{le="0.005"} 1`, `le="0.002"} 0`}},
		{trail.Event{Kind: trail.Refused, Role: "MTA", Status: status(550)}, []string{`waybill_refusals_total{code="550",role="MTA"} 1`}},
		{trail.Event{Kind: trail.Refused, Role: "PROXY"}, []string{`waybill_refusals_total{code="none",role="PROXY"} 1`}},
		{trail.Event{Kind: trail.Refused, Role: "MSA", Status: status(535)}, []string{`waybill_logins_failed_total{role="MSA"} 1`}},
		{trail.Event{Kind: trail.Refused, Role: "POP3 server", Session: "s"}, []string{`waybill_logins_failed_total{role="POP3"} 1`}},
		{trail.Event{Kind: trail.MaildropClosed, Role: "POP3 server", Peer: &trail.Peer{}}, []string{`waybill_sessions_total{role="POP3"} 1`}},
		{trail.Event{Kind: trail.Ended, Role: "made up"}, []string{`waybill_sessions_total{role="other"} 1`}},
		{trail.Event{Kind: trail.Filed}, []string{`waybill_recipients_total{result="filed"} 1`}},
		{trail.Event{Kind: trail.Relayed}, []string{`waybill_recipients_total{result="relayed"} 1`, `waybill_tls_total{direction="out",version="none"} 1`}},
		{trail.Event{Kind: trail.Attempted, Status: status(999)}, []string{`waybill_relay_refusals_total{code="none"} 1`}},
		{trail.Event{Kind: trail.Deferred}, []string{`waybill_recipients_total{result="deferred"} 1`}},
		{trail.Event{Kind: trail.Failed}, []string{`waybill_recipients_total{result="failed"} 1`}},
		{trail.Event{Kind: trail.Bounced}, []string{`waybill_reports_total{result="sent"} 1`}},
		{trail.Event{Kind: trail.Suppressed}, []string{`waybill_reports_total{result="suppressed"} 1`}},
		{trail.Event{Kind: trail.Fetched}, []string{`waybill_pop3_messages_total{result="fetched"} 1`}},
		{trail.Event{Kind: trail.Deleted}, []string{`waybill_pop3_messages_total{result="deleted"} 1`}},
		{trail.Event{Kind: trail.Lookup, DNS: []trail.DNS{{Code: "NXDOMAIN", Cached: true}, {Code: "made up"}}},
			[]string{`waybill_dns_questions_total{cached="yes",code="NXDOMAIN"} 1`, `waybill_dns_questions_total{cached="no",code="other"} 1`}},
	} {
		m := New(states())
		m.Observe(c.e)
		body := scrape(m)
		for _, want := range c.want {
			if !strings.Contains(body, want+"\n") {
				t.Errorf("%s: no %s in\n%s", c.e.Kind, want, body)
			}
		}
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	body := scrape(New(states()))
	for _, want := range []string{
		`waybill_sessions_open{listener="smtp"} 3`, "waybill_queue_messages 7", "waybill_queue_overdue_seconds 60", "waybill_store_commits_waiting 2",
		"waybill_healthy 0", "waybill_disk_free_bytes 5", "waybill_certificate_expiry_timestamp_seconds 1000",
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}

var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

// TestDocs: docs/operation.md lists every metric of ours, and no other.
func TestDocs(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]bool{}
	for _, c := range New(states()).own {
		descs := make(chan *prometheus.Desc, 10)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			name := fqName.FindStringSubmatch(d.String())[1]
			ours[name] = true
			if !strings.Contains(string(doc), "| `"+name+"` |") {
				t.Errorf("docs/operation.md does not list %s", name)
			}
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(waybill_[a-z0-9_]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		if !ours[row[1]] {
			t.Errorf("docs/operation.md lists %s, which is no metric", row[1])
		}
	}
}
