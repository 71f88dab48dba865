package dns

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Codes of an Answer. Those of a server's reply have their names from the IANA registry, in capitals; the others
// tell what became of a question that nobody answered properly.
const (
	CodeNoError  = "NOERROR"
	CodeNXDomain = "NXDOMAIN" // the name does not exist
	CodeNoData   = "NODATA"   // the name exists, but has no records of this type (RFC 2308 §2.2)
	CodeServFail = "SERVFAIL"
	CodeRefused  = "REFUSED"
	CodeReferral = "REFERRAL" // not an answer: the records name the servers to ask next

	CodeTimeout     = "TIMEOUT"     // no answer in time
	CodeUnreachable = "UNREACHABLE" // the server's socket could not be reached, or ended the connection
	CodeMalformed   = "MALFORMED"   // the answer breaks the protocol
	CodeLame        = "LAME"        // the server does not know the zone or does not recurse: neither answer nor referral
	CodeLoop        = "LOOP"        // aliases lead in a circle or through too many names
	CodeLimit       = "LIMIT"       // too many questions would have been needed
	CodeBadName     = "BADNAME"     // not a domain name: nobody was asked
)

// ErrNotFound says that the question has a definite answer and that it is "nothing": the Answer's Code tells
// whether the name does not exist (NXDOMAIN, BADNAME) or has no such records (NODATA). Every other error of a
// lookup is temporary.
var ErrNotFound = errors.New("no such name or record")

// Record is a resource record.
type Record struct {
	Name string // owner, absolute ("example.test.")
	Type string // "MX"
	TTL  uint32 // seconds that are left
	Data string // in master-file form: "10 mail.example.test."
}

// String returns the record as a line of a master file (RFC 1035 §5.1), fields separated by single spaces.
func (r Record) String() string {
	return r.Name + " " + strconv.FormatUint(uint64(r.TTL), 10) + " IN " + r.Type + " " + r.Data
}

// Answer is a question and what came of it: the evidence of a lookup.
type Answer struct {
	Name    string        // asked for; lower case, without the final dot except for the root "."
	Type    string        // asked for: "MX"
	Code    string        // one of the codes above, or another of a server's
	Records []Record      // of the answer: aliases first, in order; those of a referral: NS, then their addresses
	TTL     uint32        // seconds that the answer, a negative one too, may still be kept; the smallest of its records
	Server  string        // address:port that was asked; of a cached answer: that was asked then
	Cached  bool          // from our own cache: nobody was asked
	Took    time.Duration // until the answer was there, all retries included
	At      time.Time     // when the question was asked
}

// Text returns the records as lines of a master file.
func (a Answer) Text() []string {
	if len(a.Records) == 0 {
		return nil
	}
	lines := make([]string, len(a.Records))
	for i, r := range a.Records {
		lines[i] = r.String()
	}
	return lines
}

// lookupError is the error of a lookup: found says that it is about what was (not) found, not about how.
type lookupError struct {
	question question
	code     string
	detail   error // may be nil
}

func (e *lookupError) Error() string {
	text := fmt.Sprintf("look up %s %s: %s", shortName(e.question.name), typeName(e.question.qtype), e.code)
	if e.detail != nil {
		text += ": " + e.detail.Error()
	}
	return text
}

func (e *lookupError) Unwrap() error { return e.detail }

// Is makes errors.Is(err, ErrNotFound) work.
func (e *lookupError) Is(target error) bool { return target == ErrNotFound && definite(e.code) }

// definite says whether a failure's code is a fact about the name rather than a trouble on the way.
func definite(code string) bool {
	return code == CodeNXDomain || code == CodeNoData || code == CodeBadName
}

// codeOf names a reply's RCODE.
func codeOf(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return "RCODE" + strconv.Itoa(rcode)
}

func typeName(qtype uint16) string { return dns.Type(qtype).String() }

// records turns records of the library into ours.
func records(rrs []dns.RR) []Record {
	list := make([]Record, 0, len(rrs))
	for _, rr := range rrs {
		h := rr.Header()
		list = append(list, Record{
			Name: h.Name, Type: typeName(h.Rrtype), TTL: h.Ttl,
			Data: strings.TrimPrefix(rr.String(), h.String()),
		})
	}
	return list
}

// minTTL is the smallest TTL of rrs, 0 for none.
func minTTL(rrs []dns.RR) uint32 {
	if len(rrs) == 0 {
		return 0
	}
	least := rrs[0].Header().Ttl
	for _, rr := range rrs[1:] {
		least = min(least, rr.Header().Ttl)
	}
	return least
}
