package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// States are what is asked for at a scrape. All are required.
type States struct {
	Sessions       func() map[string]int // open now, by the key in [listen]
	Queue          func() QueueState
	CommitsWaiting func() int
	Healthy        func() error
	DiskFree       func() (uint64, error)
	CertificateEnd func() time.Time
}

// QueueState is how the queue is.
type QueueState struct {
	Messages int           // at most the bound of the look
	Overdue  time.Duration // how long ago the first of them was due
	Known    bool          // the store could be asked
}

func (m *Metrics) states(s States) {
	m.add(sessionsOpen{s.Sessions, prometheus.NewDesc("waybill_sessions_open", "Sessions under way, by listener.", []string{"listener"}, nil)})
	m.add(queueState{
		s.Queue,
		prometheus.NewDesc("waybill_queue_messages", "Messages in the queue, counted up to 100000.", nil, nil),
		prometheus.NewDesc("waybill_queue_overdue_seconds", "How long the message that has waited longest has been due.", nil, nil),
	})
	m.gauge("waybill_store_commits_waiting", "Batches that wait until the store has taken them.", func() float64 { return float64(s.CommitsWaiting()) })
	m.gauge("waybill_healthy", "1 if /healthz says ok, else 0.", func() float64 {
		if s.Healthy() != nil {
			return 0
		}
		return 1
	})
	m.gauge("waybill_disk_free_bytes", "Octets that may still be written on the disk of data; -1 if that is not known.", func() float64 {
		free, err := s.DiskFree()
		if err != nil {
			return -1
		}
		return float64(free)
	})
	m.gauge("waybill_certificate_expiry_timestamp_seconds", "When the TLS certificate in use ends, in seconds since 1970.", func() float64 {
		return float64(s.CertificateEnd().Unix())
	})
}

func (m *Metrics) gauge(name, help string, value func() float64) {
	m.add(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// sessionsOpen is a gauge for each listener.
type sessionsOpen struct {
	ask  func() map[string]int
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c sessionsOpen) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c sessionsOpen) Collect(ch chan<- prometheus.Metric) {
	for listener, n := range c.ask() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), listener)
	}
}

// queueState is two gauges from one look at the queue.
type queueState struct {
	ask               func() QueueState
	messages, overdue *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c queueState) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.messages
	ch <- c.overdue
}

// Collect implements prometheus.Collector.
func (c queueState) Collect(ch chan<- prometheus.Metric) {
	s := c.ask()
	if !s.Known {
		return
	}
	ch <- prometheus.MustNewConstMetric(c.messages, prometheus.GaugeValue, float64(s.Messages))
	ch <- prometheus.MustNewConstMetric(c.overdue, prometheus.GaugeValue, s.Overdue.Seconds())
}
