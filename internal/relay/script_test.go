package relay

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/config"
	"waybill/internal/dns/dnstest"
	"waybill/internal/mail"
	"waybill/internal/routing"
	"waybill/internal/spool"
	"waybill/internal/store/bodies"
)

// A script in testdata describes one attempt: sections that begin with "-- name --".
//
//	message   reverse-path: me@a.test / recipients: you@b.test, … / next-hop: b.test (default: the domain of the
//	          first recipient) / body: 8BITMIME / size: 1234 / text: a further line of content / smtputf8: yes /
//	          via: host:port, … / tls: required / login: user password: its route /
//	          ret: FULL / envid: x / report: notify (a number) and ORCPT of the recipients, as "6 rfc822;a@b.test, …"
//	dns       what the resolver knows, as package dnstest reads it; what is not there does not exist
//	self      addresses of this server
//	host A    what the host with that address (and port, if it is not 25) does on its next connection, in order: "S: " sends a line, "R: " several in one packet, with "|" between them, "C: "
//	          expects one ("*" at its end stands for anything), "M:" expects content up to its dot, "T: 5m1s" lets
//	          time pass, "TLS" does a handshake, "BADTLS" one that we end, "CERT" one that it ends for want of a certificate of ours, "GARBAGE" answers the handshake with something else, "CLOSE"
//	          closes, "END" expects that we close without a further word; a first line "REFUSED" or "SILENT" refuses or ignores the connection
//	outcomes  the expected outcomes, one line for each recipient ("*" as above), with "(DSN)" if the host reports
//	events    the expected events: kind and text or status, one a line ("*" as above)
//	took      the expected duration, in whole seconds
type script struct {
	sections []section
}

type section struct {
	name  string
	lines []string
}

func readScript(t *testing.T, file string) script {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s script
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if name, ok := strings.CutPrefix(line, "-- "); ok {
			s.sections = append(s.sections, section{name: strings.TrimSuffix(name, " --")})
			continue
		}
		if len(s.sections) == 0 || line == "" {
			continue // what stands before the first section is a comment
		}
		last := &s.sections[len(s.sections)-1]
		last.lines = append(last.lines, line)
	}
	return s
}

func (s script) lines(name string) []string {
	for _, section := range s.sections {
		if section.name == name {
			return section.lines
		}
	}
	return nil
}

func (s script) has(name string) bool {
	for _, section := range s.sections {
		if section.name == name {
			return true
		}
	}
	return false
}

// value returns the value of "key: value" in the message section.
func (s script) value(key string) string {
	for _, line := range s.lines("message") {
		if v, ok := strings.CutPrefix(line, key+": "); ok {
			return v
		}
	}
	return ""
}

func (s script) attempt(t *testing.T) spool.Attempt {
	parse := func(text string) mail.Address {
		if local, domain, _ := strings.Cut(text, "@"); !isASCII(mail.Address{Local: local}) {
			return mail.Address{Local: local, Domain: domain}
		}
		a, _, err := mail.ParsePath("<" + text + ">")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	now := time.Now()
	item := &spool.Item{
		ID: mail.NewIDs(1).New(now), ReversePath: parse(s.value("reverse-path")), BodyType: mail.BodyType(s.value("body")),
		Accepted: now, Expires: now.Add(time.Hour), Body: bodies.Body{Size: int64(len(content))},
	}
	if n, err := strconv.ParseInt(s.value("size"), 10, 64); err == nil {
		item.Body.Size = n
	}
	item.UTF8 = s.value("smtputf8") == "yes"
	item.DSN = mail.DSN{Return: mail.Return(s.value("ret")), EnvelopeID: s.value("envid")}
	a := spool.Attempt{Item: item, Number: 1}
	for i, text := range strings.Split(s.value("recipients"), ", ") {
		item.Recipients = append(item.Recipients, spool.Recipient{ForwardPath: parse(text), State: spool.Pending})
		a.Recipients = append(a.Recipients, i)
	}
	a.NextHop = cmp.Or(s.value("via"), item.Recipients[0].ForwardPath.Domain)
	if reports := s.value("report"); reports != "" {
		for i, text := range strings.Split(reports, ", ") {
			item.Recipients[i].Report = parseReport(t, text)
		}
	}
	return a
}

// routes is the route of the message, if it has one.
func (s script) routes(t *testing.T, certificate tls.Certificate) Routes {
	if s.value("via") == "" {
		return noRoutes{}
	}
	r := &routing.Route{Route: config.Route{TLS: cmp.Or(s.value("tls"), config.RouteTLSOpportunistic)}, Roots: x509.NewCertPool()}
	for _, via := range strings.Split(s.value("via"), ", ") {
		host, port, err := net.SplitHostPort(via)
		if err != nil {
			t.Fatal(err)
		}
		number, _ := strconv.Atoi(port)
		hop := config.Hop{Host: host, Port: uint16(number)}
		if addr, err := netip.ParseAddr(host); err == nil {
			hop.Host, hop.Addr = "", addr
		}
		r.Via = append(r.Via, hop)
	}
	authority, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	r.Roots.AddCert(authority)
	r.User, r.Password, _ = strings.Cut(s.value("login"), " ")
	return oneRoute{r}
}

type oneRoute struct{ *routing.Route }

func (r oneRoute) Of(string) *routing.Route { return r.Route }

func parseReport(t *testing.T, text string) (r mail.Report) {
	notify, orcpt, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(notify)
	if err != nil {
		t.Fatal(err)
	}
	r.Notify = mail.Notify(n)
	r.Original.Type, r.Original.Address, _ = strings.Cut(orcpt, ";")
	return r
}

// content is the message that is sent. Its second line of text must be dot-stuffed.
const content = "Subject: Test Email\r\n\r\nHere is my data.\r\n.dot\r\n"

// stuffed is content as it must arrive.
const stuffed = "Subject: Test Email\r\n\r\nHere is my data.\r\n..dot\r\n"

// furtherLine is what a script adds to the content.
func (s script) furtherLine() string {
	if text := s.value("text"); text != "" {
		return text + "\r\n"
	}
	return ""
}

type contentReader struct{ *bytes.Reader }

func (contentReader) Close() error { return nil }

// matches compares with a pattern that may end in "*".
func matches(pattern, s string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(s, prefix)
	}
	return s == pattern
}

// compare reports where lines do not match patterns.
func compare(t *testing.T, what string, patterns, got []string) {
	t.Helper()
	ok := len(patterns) == len(got)
	for i := 0; ok && i < len(got); i++ {
		ok = matches(patterns[i], got[i])
	}
	if !ok {
		t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(patterns, "\n  "))
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	certificate := selfSigned(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			s := readScript(t, file)
			synctest.Test(t, func(t *testing.T) { runScript(t, s, certificate) })
		})
	}
}

func runScript(t *testing.T, s script, certificate tls.Certificate) {
	n := &network{t: t, content: stuffed + s.furtherLine(), tls: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	for _, section := range s.sections {
		if strings.HasPrefix(section.name, "host ") {
			n.hosts = append(n.hosts, section)
		}
	}
	r := New(Options{
		Hostname: "mail.a.test", Resolver: dnstest.InMemory(t, strings.Join(s.lines("dns"), "\n")+"\n"), Dial: n.dial,
		Content: func(context.Context, spool.Attempt) (Content, error) {
			return contentReader{bytes.NewReader([]byte(content + s.furtherLine()))}, nil
		},
		Routes: s.routes(t, certificate),
		IsSelf: func(to netip.AddrPort) bool {
			for _, line := range s.lines("self") {
				if line == to.Addr().String() {
					return true
				}
			}
			return false
		},
	})
	r.shuffle = func(int, func(i, j int)) {}
	a := s.attempt(t)
	began := time.Now()
	outcomes, events := r.Deliver(t.Context(), a, nil)
	took := time.Since(began)
	n.running.Wait()

	var got []string
	for _, o := range outcomes {
		path := a.Item.Recipients[o.Recipient].ForwardPath
		text := path.Local + "@" + path.Domain + ": " + o.Status.String()
		if o.Passed {
			text += " (DSN)"
		}
		got = append(got, text)
	}
	compare(t, "outcomes", s.lines("outcomes"), got)
	if s.has("events") {
		got = nil
		for _, ev := range events {
			text := ev.Text
			if text == "" && ev.Status != nil {
				text = ev.Status.String()
			}
			got = append(got, string(ev.Kind)+" "+text)
		}
		compare(t, "events", s.lines("events"), got)
	}
	if want := s.lines("tls"); want != nil {
		checkTLS(t, want[0], events)
	}
	if s.has("verified") {
		checkVerified(t, events)
	}
	if s.has("took") {
		compare(t, "took", s.lines("took"), []string{took.Round(time.Second).String()})
	}
	for _, h := range n.hosts {
		t.Errorf("%s was never connected to", h.name)
	}
}
