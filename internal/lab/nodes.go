package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgserver"
	"waybill/internal/trail"
)

// Shares says which nodes had a part in a letter's way.
type Shares struct {
	Message    mail.ID `json:"message"`           // the letter's id at the receiving side
	AcceptedBy string  `json:"acceptedBy"`        // took custody and filed it
	Stopped    bool    `json:"stopped,omitempty"` // that node, before the letter was read
	ServedBy   string  `json:"servedBy"`          // gave it to its reader
	ShownBy    string  `json:"shownBy"`           // read the waybill of the receiving side from the store
}

// ErrOneServer: the scenario needs a node that can do without another.
var ErrOneServer = errors.New("this scenario stops a node of the receiving side: it needs two nodes at least (--nodes 2)")

// startDatabase starts PostgreSQL in the lab's directory, and makes the tables of a store. When ctx is done before it is ready,
// it ends.
func (l *Lab) startDatabase(ctx context.Context, o Options) (err error) {
	programs := o.Programs
	if programs == "" {
		programs, err = pgserver.Find()
	} else {
		err = pgserver.Check(programs)
	}
	if err != nil {
		return fmt.Errorf("the lab runs its nodes on a PostgreSQL that it starts itself (without --nodes it needs none): %w", err)
	}
	dir := filepath.Join(o.Dir, "postgres")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := pgserver.Admit(o.Dir); err != nil {
		return err
	}
	l.tell(o, "starting PostgreSQL (%s) in %s", programs, dir)
	began := time.Now()
	l.database, err = pgserver.Create(ctx, pgserver.Options{Programs: programs, Dir: dir, Password: rand.Text()})
	if err != nil {
		return err
	}
	if _, err := postgres.Migrate(ctx, l.database.URL()); err != nil {
		return err
	}
	l.tell(o, "PostgreSQL is ready after %.1f s; starting the nodes", time.Since(began).Seconds())
	return nil
}

func (l *Lab) tell(o Options, format string, args ...any) {
	if o.Tell != nil {
		o.Tell(fmt.Sprintf(format, args...))
	}
}

// Database is the URL of the nodes' PostgreSQL, with the password for everything in it; "" if there are no nodes.
func (l *Lab) Database() string {
	if l.database == nil {
		return ""
	}
	return l.database.URL()
}

// store is that of a user's mail servers.
func (l *Lab) store(u User) config.StoreURL {
	if u.servers[0] == senderMail {
		return ""
	}
	return config.StoreURL(l.Database())
}

// Nodes are the names of the receiving side's, in order; none if it is one server with a store of its own.
func (l *Lab) Nodes() (names []string) {
	if l.database == nil {
		return nil
	}
	for _, h := range l.users[1].servers {
		names = append(names, h.name)
	}
	return names
}

// nodeNumber is that of the node with a name, from 1; 0 if there is none.
func (l *Lab) nodeNumber(name string) int { return slices.Index(l.Nodes(), name) + 1 }

// isServedBy says whether the mail server of that name is one of the user's.
func (u User) isServedBy(name string) bool {
	return slices.ContainsFunc(u.servers, func(h host) bool { return h.name == name })
}

// isMailServer says whether a mail server of the lab has that address.
func (l *Lab) isMailServer(addr netip.Addr) bool {
	return slices.ContainsFunc(slices.Concat(l.users[0].servers, l.users[1].servers), func(h host) bool { return h.ip() == addr })
}

// shares gives the work on what happened since from to the nodes, each step to another one as far as there are so many; nil if there
// are no nodes or none took a letter in.
func (l *Lab) shares(from int) *Shares {
	events, _ := l.journal.all()
	nodes := l.alive()
	for _, e := range events[min(from, len(events)):] {
		if i := slices.Index(nodes, e.Actor); i >= 0 && e.Kind == trail.Accepted {
			return &Shares{
				Message: e.Message, AcceptedBy: nodes[i],
				ServedBy: nodes[(i+1)%len(nodes)], ShownBy: nodes[(i+2)%len(nodes)],
			}
		}
	}
	return nil
}

// alive are the names of the nodes that have not been stopped.
func (l *Lab) alive() (names []string) {
	for _, n := range l.nodes {
		if l.nodeNumber(n.name) > 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// stopAcceptor stops the node that took the letter in, as its operator would. The waybill must then come from another one.
func (l *Lab) stopAcceptor(ctx context.Context, s *Shares) error {
	i := slices.IndexFunc(l.nodes, func(m mailServer) bool { return m.name == s.AcceptedBy })
	if i < 0 {
		return fmt.Errorf("%s does not run any more", s.AcceptedBy)
	}
	s.Stopped = true
	if s.ShownBy == s.AcceptedBy {
		s.ShownBy = s.ServedBy
	}
	ctx, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	stopped := l.nodes[i]
	l.nodes = slices.Delete(l.nodes, i, i+1)
	return stopped.Shutdown(ctx)
}

// readFrom is the mail server whose mailbox a user's client reads.
func (l *Lab) readFrom(u User, s *Shares) host {
	for _, h := range u.servers {
		if s != nil && h.name == s.ServedBy {
			return h
		}
	}
	return u.servers[0]
}

// showTime bounds the wait until a node knows what others did. They write at the latest a second after it.
const showTime = 10 * time.Second

// showElsewhere puts the waybill that a node reads from the store in the place of what the nodes have told as it happened. If that
// node does not know all of it, the letter's way is not what it should be.
func (l *Lab) showElsewhere(ctx context.Context, out *Outcome) error {
	i := slices.IndexFunc(l.nodes, func(m mailServer) bool { return m.name == out.Shares.ShownBy })
	ctx, cancel := context.WithTimeout(ctx, showTime)
	defer cancel()
	theirs := func(e trail.Event) bool { return e.Message == out.Shares.Message && l.nodeNumber(e.Actor) > 0 }
	told := slices.DeleteFunc(slices.Clone(out.Events), func(e trail.Event) bool { return !theirs(e) })
	for {
		events, err := l.nodes[i].Events(ctx, out.Shares.Message)
		if err != nil && ctx.Err() == nil {
			return err
		}
		missing := lacks(events, told)
		if missing == "" {
			out.Events = append(slices.DeleteFunc(slices.Clone(out.Events), theirs), events...)
			return nil
		}
		select {
		case <-ctx.Done():
			if out.Problem == "" {
				out.Problem = fmt.Sprintf("the waybill on %s lacks %s", out.Shares.ShownBy, missing)
			}
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lacks names the first step that was told and is not among the events; "" if there is none.
func lacks(events, told []trail.Event) string {
	count := map[string]int{}
	step := func(e trail.Event) string { return string(e.Kind) + " by " + e.Actor }
	for _, e := range events {
		count[step(e)]++
	}
	for _, e := range told {
		if count[step(e)]--; count[step(e)] < 0 {
			return step(e)
		}
	}
	return ""
}
