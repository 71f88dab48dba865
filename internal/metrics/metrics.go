// Package metrics counts what happens, for Prometheus. It is fed with the trail's events: the table in Observe is the one
// place where an event becomes a number, and nothing else keeps a second book. Only what no event tells, because it is a
// state and not a step, is asked for when it is scraped. No label has an address, a name of a user or anything else that
// a stranger could make up.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"waybill/internal/trail"
)

// Metrics is the numbers of one node. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	own      []prometheus.Collector

	accepted, refused, loginsFailed, sessions, tls *prometheus.CounterVec
	recipients, attempts, reports, retrieved, dns  *prometheus.CounterVec
	commits                                        prometheus.Histogram
}

// roles of events, as labels; strangers cannot add to them.
var roles = map[string]string{"MTA": "MTA", "MSA": "MSA", "POP3 server": "POP3", "PROXY": "PROXY"}

// commitBuckets are seconds: from a fast disk to where new mail is refused.
var commitBuckets = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}

// New returns metrics with a registry of their own; states are asked when it is scraped.
func New(states States) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.accepted = m.counter("waybill_messages_accepted_total", "Messages taken into custody, by the kind of listener.", "role")
	m.refused = m.counter("waybill_refusals_total", "Commands, recipients, messages and logins that policy refused, by listener and reply code.", "role", "code")
	m.loginsFailed = m.counter("waybill_logins_failed_total", "Logins that were refused.", "role")
	m.sessions = m.counter("waybill_sessions_total", "Sessions that have ended, by listener.", "role")
	m.tls = m.counter("waybill_tls_total", "Messages received and attempts at relaying, by TLS version (or none).", "direction", "version")
	m.recipients = m.counter("waybill_recipients_total", "What became of recipients: filed, relayed, deferred (again and again, perhaps), failed.", "result")
	m.attempts = m.counter("waybill_relay_refusals_total", "Answers of next hops that did not take a message, by reply code (or none).", "code")
	m.reports = m.counter("waybill_reports_total", "Delivery status notifications: sent, or suppressed.", "result")
	m.retrieved = m.counter("waybill_pop3_messages_total", "Messages fetched and deleted by POP3.", "result")
	m.dns = m.counter("waybill_dns_questions_total", "Questions to DNS that mail rested on, by outcome, and whether our own cache answered.", "code", "cached")
	m.commits = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "waybill_accept_commit_seconds", Help: "How long it took to make an accepted message durable.", Buckets: commitBuckets,
	})
	m.add(m.commits)
	m.states(states)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.add(c)
	return c
}

func (m *Metrics) add(c prometheus.Collector) {
	m.registry.MustRegister(c) // names are fixed: it fails never or always
	m.own = append(m.own, c)
}

// Limits of a scrape.
const (
	scrapeTime = 10 * time.Second
	maxScrapes = 3 // at the same time
)

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: scrapeTime})
}

// Observe counts an event.
func (m *Metrics) Observe(e trail.Event) {
	role, known := roles[e.Role]
	if !known {
		role = "other"
	}
	switch e.Kind {
	case trail.Received:
		m.tls.WithLabelValues("in", version(e)).Inc()
	case trail.Accepted:
		m.accepted.WithLabelValues(role).Inc()
	case trail.Durable:
		m.commits.Observe(e.Took.Seconds())
	case trail.Refused:
		m.refused.WithLabelValues(role, code(e)).Inc()
		if isLogin(e) {
			m.loginsFailed.WithLabelValues(role).Inc()
		}
	case trail.Ended:
		m.sessions.WithLabelValues(role).Inc()
	case trail.MaildropClosed:
		m.closed(e, role)
	case trail.Filed:
		m.recipients.WithLabelValues("filed").Inc()
	case trail.Relayed:
		m.recipients.WithLabelValues("relayed").Inc()
		m.tls.WithLabelValues("out", version(e)).Inc()
	case trail.Attempted:
		m.attempts.WithLabelValues(code(e)).Inc()
		m.tls.WithLabelValues("out", version(e)).Inc()
	case trail.Deferred:
		m.recipients.WithLabelValues("deferred").Inc()
	case trail.Failed:
		m.recipients.WithLabelValues("failed").Inc()
	case trail.Bounced:
		m.reports.WithLabelValues("sent").Inc()
	case trail.Suppressed:
		m.reports.WithLabelValues("suppressed").Inc()
	case trail.Fetched:
		m.retrieved.WithLabelValues("fetched").Inc()
	case trail.Deleted:
		m.retrieved.WithLabelValues("deleted").Inc()
	}
	m.questions(e)
}

// closed counts a POP3 session, which is told once for itself and again in each waybill that it touched.
func (m *Metrics) closed(e trail.Event, role string) {
	if e.Message != "" {
		return
	}
	m.sessions.WithLabelValues(role).Inc()
}

func (m *Metrics) questions(e trail.Event) {
	for i := range e.DNS {
		cached := "no"
		if e.DNS[i].Cached {
			cached = "yes"
		}
		m.dns.WithLabelValues(dnsCode(e.DNS[i].Code), cached).Inc()
	}
}
