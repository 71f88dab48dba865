package control

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/spool"
	"waybill/internal/trail"
	"waybill/internal/verify"
)

// Node is what an operator can do to a node, running or not.
type Node interface {
	Accounts(ctx context.Context, domain string) ([]Account, error)
	Mailboxes(ctx context.Context, account mail.Address) ([]mailbox.Info, error)
	AddAccount(ctx context.Context, addr mail.Address, password string) error
	SetPassword(ctx context.Context, addr mail.Address, password string) error
	UpdateAccount(ctx context.Context, addr mail.Address, c directory.Change) error
	RemoveAccount(ctx context.Context, addr mail.Address) error

	Aliases(ctx context.Context, domain string) ([]directory.Alias, error)
	PutAlias(ctx context.Context, a directory.Alias, isNew bool) error
	RemoveAlias(ctx context.Context, addr mail.Address) error

	Domains(ctx context.Context) ([]Domain, error)
	PutDomain(ctx context.Context, c DomainChange) error
	RemoveDomain(ctx context.Context, name string) error

	Queue(ctx context.Context, f QueueFilter) (QueuePage, error)
	ManageQueue(ctx context.Context, ids []mail.ID, action spool.Action) ([]Refusal, error)
	Route(ctx context.Context, from, to mail.Address) (Route, error)

	// Imported says which messages of a source have been imported already, by their keys. Import files those that next
	// returns, until io.EOF, in durable batches, and returns how many were new.
	Imported(ctx context.Context, account mail.Address, keys []string) ([]bool, error)
	Import(ctx context.Context, account mail.Address, next func() (ImportMessage, error)) (int, error)
	// Export returns some messages of a mailbox behind a UID; Content opens one of them, or says ErrGone or ErrDamaged,
	// as reading it may.
	Export(ctx context.Context, q ExportQuery) (ExportPage, error)
	Content(ctx context.Context, q ExportQuery) (io.ReadCloser, error)

	// Backup writes all that the node has, as it is at one moment, as a tar archive.
	Backup(ctx context.Context, w io.Writer) error
	Verify(ctx context.Context, progress func(verify.Report)) (verify.Report, error)

	// Nodes returns the nodes of a store that several may use; none if this one has it to itself.
	Nodes(ctx context.Context) ([]StoreNode, error)

	Events(ctx context.Context, id mail.ID) ([]trail.Event, error)
	Visits(ctx context.Context, q trail.Query) (trail.Visits, error)
}

// ErrGone is returned by Content for a message that was expunged since it was listed.
var ErrGone = errors.New("the message is not there any more")

// ErrDamaged is returned by Content for a message whose record or content cannot be read.
var ErrDamaged = errors.New("the message is damaged and cannot be read; waybill verify tells more")

// ImportMessage is a message that is imported. Content, with CR LF line ends, is read before the next one is asked for.
type ImportMessage struct {
	Key     string        `json:"key"` // names it in its source, in UTF-8
	Mailbox string        `json:"mailbox"`
	Date    time.Time     `json:"date"`
	Flags   mailbox.Flags `json:"flags"`
	Content io.Reader     `json:"-"`
}

// ExportQuery names messages of a mailbox: those behind UID After, or for Content the one with UID After.
type ExportQuery struct {
	Account mail.Address `json:"account"`
	Mailbox string       `json:"mailbox"`
	After   uint32       `json:"after"`
}

// ExportPage is some messages of a mailbox.
type ExportPage struct {
	UIDValidity uint32          `json:"uidValidity"`
	Messages    []ExportMessage `json:"messages"`
	Damaged     []uint32        `json:"damaged,omitempty"` // UIDs of messages whose records cannot be read
	Next        uint32          `json:"next"`              // for After; 0: that was the last page
}

// ExportMessage is a message that can be exported.
type ExportMessage struct {
	UID      uint32        `json:"uid"`
	ID       mail.ID       `json:"id"`
	Size     int64         `json:"size"`
	Flags    mailbox.Flags `json:"flags"`
	Received time.Time     `json:"received"`
	Sender   string        `json:"sender"` // reverse-path, "" if it is null or not known
}

// Account is an account with what it has.
type Account struct {
	Address  mail.Address `json:"address"`
	Created  time.Time    `json:"created"`
	Disabled bool         `json:"disabled"`
	Used     int64        `json:"used"`     // octets of all its mail
	Quota    int64        `json:"quota"`    // octets; 0: any
	OwnQuota bool         `json:"ownQuota"` // it does not follow the configuration's
}

// Domain is a domain with what it has.
type Domain struct {
	Name       string `json:"name"`
	Postmaster string `json:"postmaster,omitempty"`
	SCRAM      bool   `json:"scram"`
	Configured bool   `json:"configured"` // it stands in the configuration
	Accounts   int    `json:"accounts"`
	Aliases    int    `json:"aliases"`
}

// StoreNode is a node of a store that several use.
type StoreNode struct {
	Number uint16    `json:"number"`
	Name   string    `json:"name"` // its host name
	Joined time.Time `json:"joined"`
	Beat   time.Time `json:"beat"`            // when it last showed that it is alive, by its own clock
	Taken  []string  `json:"taken,omitempty"` // names of the nodes that have left or died whose mail it looks after
	Asked  bool      `json:"asked"`           // it is the one that gives this answer
}

// DomainChange is a new domain, or what is to be different about one; nil stays as it is.
type DomainChange struct {
	Name       string  `json:"name"`
	New        bool    `json:"new"`
	Postmaster *string `json:"postmaster"`
	SCRAM      *bool   `json:"scram"`
}

// QueueFilter chooses messages in the queue: those for which all that is given holds.
type QueueFilter struct {
	IDs    []mail.ID     `json:"ids"`    // these
	From   string        `json:"from"`   // reverse-path: an address, or "@domain"
	To     string        `json:"to"`     // a recipient that is pending: an address, or "@domain"
	Held   *bool         `json:"held"`   // held, or not
	Older  time.Duration `json:"older"`  // accepted so long ago, or longer
	Reason string        `json:"reason"` // a part of what the last attempt at a recipient came to

	After mail.ID `json:"after"` // where the page before ended
	Limit int     `json:"limit"` // items in a page; 0: as many as it may have
}

// QueuePage is a part of what is in the queue, in the order of acceptance.
type QueuePage struct {
	Items []QueueItem `json:"items"`
	Next  mail.ID     `json:"next"` // for After; "": that was the last page
}

// QueueItem is a message in the queue.
type QueueItem struct {
	ID          mail.ID          `json:"id"`
	Unreadable  bool             `json:"unreadable,omitempty"` // its record is damaged: there is nothing but the id
	ReversePath string           `json:"reversePath"`
	Accepted    time.Time        `json:"accepted"`
	Due         time.Time        `json:"due"`
	Held        bool             `json:"held"`
	Expires     time.Time        `json:"expires"`
	Attempts    int              `json:"attempts"`
	Size        int64            `json:"size"`
	Recipients  []QueueRecipient `json:"recipients"`
}

// QueueRecipient is a recipient of a message in the queue.
type QueueRecipient struct {
	Address  string      `json:"address"`
	Original string      `json:"original,omitempty"` // the alias that led to it
	Sender   string      `json:"sender,omitempty"`   // the reverse-path under which it is forwarded
	State    spool.State `json:"state"`
	Status   string      `json:"status,omitempty"` // of the last attempt
}

// Refusal is a message to which something could not be done.
type Refusal struct {
	ID     mail.ID `json:"id"`
	Reason string  `json:"reason"`
}

// Route is what would happen to a message, step by step.
type Route struct {
	Steps []RouteStep `json:"steps"`
}

// RouteStep is one decision.
type RouteStep struct {
	Question string      `json:"question"`
	Answer   string      `json:"answer"`
	Rule     string      `json:"rule,omitempty"`
	Details  []string    `json:"details,omitempty"`
	DNS      []trail.DNS `json:"dns,omitempty"`
	Bad      bool        `json:"bad,omitempty"` // the message would get no further
}

// Matches says whether a message is one of those that the filter means.
func (f QueueFilter) Matches(i QueueItem, now time.Time) bool {
	if f.Held != nil && *f.Held != i.Held || f.Older > 0 && now.Sub(i.Accepted) < f.Older || !fits(f.From, i.ReversePath) {
		return false
	}
	if f.To == "" && f.Reason == "" {
		return true
	}
	for _, r := range i.Recipients {
		pending := r.State == spool.Pending
		if pending && fits(f.To, r.Address) && strings.Contains(strings.ToLower(r.Status), strings.ToLower(f.Reason)) {
			return true
		}
	}
	return false
}

// fits says whether an address is the one that is meant: any, that one, or one of that "@domain".
func fits(wanted, addr string) bool {
	if strings.HasPrefix(wanted, "@") {
		i := strings.LastIndexByte(addr, '@')
		return i >= 0 && strings.EqualFold(addr[i:], wanted)
	}
	return wanted == "" || strings.EqualFold(addr, wanted) || wanted == "<>" && addr == ""
}
