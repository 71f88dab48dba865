package dns

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"
)

const (
	defaultTTL     = 3600     // seconds, for records before any TTL
	maxZoneOctets  = 16 << 20 // of a file
	maxZoneRecords = 1 << 20
)

// Zone is the records of a zone, and the names whose questions shall fail. It is never changed once it is parsed.
type Zone struct {
	origin  string // canonical
	soa     *dns.SOA
	names   map[string]rrsets  // of every name that exists, those without records of their own too
	failing map[string]failing // what becomes of questions for a name, whatever the type
}

// rrsets are the records of a name by type.
type rrsets map[uint16][]dns.RR

// failing is a way to fail.
type failing string

// The failures that a zone file can ask for.
const (
	failServFail failing = "SERVFAIL" // answer with that RCODE
	failRefused  failing = "REFUSED"  // answer with that RCODE
	failTimeout  failing = "TIMEOUT"  // do not answer
)

// Origin returns the zone's name, absolute and in lower case.
func (z *Zone) Origin() string { return z.origin }

// ParseZone reads a master file (RFC 1035 §5) of at most 16 MiB. It needs a SOA record; $INCLUDE and $GENERATE are
// not supported. A record without TTL has that of $TTL, else of the record before it, else 3600.
//
// Comment lines that say how questions for a name fail, for trying out what happens then, begin with one of
//
//	; SERVFAIL name
//	; TIMEOUT name
//	; REFUSED name
//
// The name is relative to the origin in effect there, as everywhere in the file, and need not have records.
func ParseZone(origin string, r io.Reader) (*Zone, error) {
	name, err := newQuestion(origin, "SOA")
	if err != nil {
		return nil, fmt.Errorf("zone %q: %w", origin, err)
	}
	z := &Zone{origin: name.name, names: map[string]rrsets{}, failing: map[string]failing{}}
	text, err := io.ReadAll(io.LimitReader(r, maxZoneOctets+1))
	if err == nil && len(text) > maxZoneOctets {
		err = fmt.Errorf("larger than %d octets", maxZoneOctets)
	}
	if err == nil {
		err = z.readLines(string(text))
	}
	if err == nil {
		err = z.readRecords(text)
	}
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", z.origin, err)
	}
	return z, nil
}

// readLines finds the failure lines, and the directives that are refused.
func (z *Zone) readLines(text string) error {
	origin, number := z.origin, 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		var err error
		switch directive := strings.ToUpper(words[0]); {
		case directive == "$ORIGIN" && len(words) > 1:
			origin, err = absolute(words[1], origin)
		case directive == "$INCLUDE", directive == "$GENERATE":
			err = fmt.Errorf("%s is not supported", directive)
		case words[0] == ";" && len(words) > 1:
			err = z.readFailure(words[1:], origin)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	return nil
}

// readFailure reads the words of a comment, which may be a failure line.
func (z *Zone) readFailure(words []string, origin string) error {
	how := failing(words[0])
	if how != failServFail && how != failRefused && how != failTimeout {
		return nil
	}
	if len(words) != 2 {
		return fmt.Errorf("%s takes one name", how)
	}
	name, err := absolute(words[1], origin)
	if err != nil {
		return err
	}
	if !within(z.origin, name) {
		return fmt.Errorf("%s is outside the zone", name)
	}
	z.failing[name] = how
	return nil
}

// absolute completes a name of a master file (RFC 1035 §5.1).
func absolute(name, origin string) (string, error) {
	switch {
	case name == "@":
		return origin, nil
	case strings.HasSuffix(name, "."):
	case origin == ".":
		name += "."
	default:
		name += "." + origin
	}
	q, err := newQuestion(name, "A")
	if err != nil {
		return "", fmt.Errorf("%q: %w", name, err)
	}
	return q.name, nil
}

// readRecords parses the records of the file and checks that they make a zone.
func (z *Zone) readRecords(text []byte) error {
	parser := dns.NewZoneParser(bytes.NewReader(text), z.origin, "")
	parser.SetDefaultTTL(defaultTTL)
	buffer := make([]byte, dns.MaxMsgSize)
	count := 0
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if count++; count > maxZoneRecords {
			return fmt.Errorf("more than %d records", maxZoneRecords)
		}
		rr, err := reread(rr, buffer)
		if err == nil {
			err = z.add(rr)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", rr.Header().Name, typeName(rr.Header().Rrtype), err)
		}
	}
	if err := parser.Err(); err != nil {
		return err
	}
	soa := z.names[z.origin][dns.TypeSOA]
	if len(soa) != 1 {
		return fmt.Errorf("%d SOA records at its origin; it needs one", len(soa))
	}
	z.soa = soa[0].(*dns.SOA)
	return nil
}

// reread returns a record as those read it who get it in an answer. The parser accepts records without data, and
// names in several spellings ("\\097" is "a").
func reread(rr dns.RR, buffer []byte) (dns.RR, error) {
	n, err := dns.PackRR(rr, buffer, 0, nil, false)
	if err != nil {
		return rr, err
	}
	again, _, err := dns.UnpackRR(buffer[:n], 0)
	if err != nil || again.Header().Rdlength == 0 {
		return rr, fmt.Errorf("without data")
	}
	return again, nil
}

// add adds a record, its owner in lower case, and makes the names between it and the origin exist (RFC 4592 §2.2.2).
func (z *Zone) add(rr dns.RR) error {
	h := rr.Header()
	h.Name = canonical(h.Name)
	switch {
	case h.Class != dns.ClassINET:
		return fmt.Errorf("class %s is not supported", dns.Class(h.Class))
	case !within(z.origin, h.Name):
		return fmt.Errorf("outside the zone")
	case h.Rrtype == dns.TypeSOA && h.Name != z.origin:
		return fmt.Errorf("not at the origin of the zone")
	case h.Rrtype == dns.TypeDNAME:
		return fmt.Errorf("not supported")
	}
	for name := h.Name; z.names[name] == nil; name = parentName(name) {
		z.names[name] = rrsets{}
		if name == z.origin {
			break
		}
	}
	node := z.names[h.Name]
	if duplicate(node[h.Rrtype], rr) {
		return nil
	}
	set := append(node[h.Rrtype], rr)
	node[h.Rrtype] = set
	least := minTTL(set) // RFC 2181 §5.2: one TTL for all of them
	for _, rr := range set {
		rr.Header().Ttl = least
	}
	// RFC 1034 §3.6.2: an alias has no other data. The types of DNSSEC that may stand there are not served.
	if len(node) > 1 && node[dns.TypeCNAME] != nil || len(node[dns.TypeCNAME]) > 1 {
		return fmt.Errorf("an alias beside other records")
	}
	return nil
}
