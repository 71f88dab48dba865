package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"waybill/internal/dialogue"
	"waybill/internal/explain"
	"waybill/internal/lab"
	"waybill/internal/lineend"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// labCommand runs the lab: one letter and its waybill, or until a signal with --stay.
type labCommand struct {
	Scenario string   `default:"letter" help:"Which letter: ${scenarios}." placeholder:"NAME"`
	Letter   string   `type:"existingfile" placeholder:"FILE.eml" help:"Send this message instead."`
	From     string   `placeholder:"A" help:"Reverse-path of the letter; default: me@sendingemail.com."`
	To       []string `placeholder:"B" help:"Forward-path of the letter, repeatable; default: you@receivingemail.com."`
	As       string   `enum:"sender,stranger," default:"" help:"At whose computer the letter is sent: sender (whose network may relay) or stranger."`
	Helo     string   `placeholder:"NAME" help:"What the client calls itself in EHLO."`
	Nodes    int      `placeholder:"N" help:"Run the receiving side as so many nodes (1 to ${maxnodes}) on one PostgreSQL, which the lab starts itself."`
	Postgres string   `type:"path" placeholder:"DIR" help:"Where PostgreSQL's programs are, for --nodes; default: where the path or Debian's packages have them."`
	Keep     bool     `help:"Leave retrieved mail on the server."`
	Stay     bool     `help:"Keep running, and show each further message's waybill as it happens."`
	JSON     bool     `name:"json" help:"Print one JSON object a line: the settings, then every event."`
	Data     string   `type:"path" placeholder:"DIR" help:"Keep the servers' data in that empty directory; default: a temporary directory, removed at the end."`
	Verbose  bool     `short:"v" help:"Print the servers' logs."`
}

func (c *labCommand) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	dir, remove, err := c.dir()
	if err != nil {
		return err
	}
	defer remove()
	out := &labPrinter{out: std.out, options: renderOptions(std.out)}
	options := lab.Options{Dir: dir, Nodes: c.Nodes, Programs: c.Postgres, Logger: c.logger(std)}
	options.Tell = func(text string) { fmt.Fprintln(std.err, "waybill lab:", text) }
	if c.JSON {
		options.Observe = out.event
	}
	l, err := lab.Start(ctx, options)
	if err != nil {
		return err
	}
	err = c.run(ctx, l, out)
	if c.Nodes > 0 && c.Data != "" {
		options.Tell("the database stays in " + filepath.Join(dir, "postgres", "data") + "; the password of its user postgres is in " +
			filepath.Join(dir, "postgres", "password"))
	}
	return errors.Join(err, l.Close())
}

// check refuses what cannot be before anything is started.
func (c *labCommand) check() error {
	switch {
	case c.Nodes < 0 || c.Nodes > lab.MaxNodes:
		return usageErrorf("--nodes %d: the receiving side can have 1 to %d nodes; without --nodes it is one server with a store of its own", c.Nodes, lab.MaxNodes)
	case c.Postgres != "" && c.Nodes == 0:
		return usageErrorf("--postgres says where PostgreSQL's programs are: it needs --nodes")
	}
	return nil
}

func (c *labCommand) dir() (string, func(), error) {
	if c.Data == "" {
		return lab.TempDir()
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return "", nil, err
	}
	entries, err := os.ReadDir(c.Data)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("--data %s: the directory is not empty; each lab begins anew: name another one", c.Data)
	}
	return c.Data, func() {}, err
}

func (c *labCommand) logger(std streams) *slog.Logger {
	if c.Verbose {
		return logger(std, true)
	}
	return slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

func (c *labCommand) run(ctx context.Context, l *lab.Lab, out *labPrinter) error {
	scenario, err := c.scenario(l)
	if err != nil {
		return err
	}
	if c.JSON {
		out.settings(l)
	}
	if err := c.one(ctx, l, scenario, out); err != nil || !c.Stay {
		return err
	}
	if c.JSON {
		<-ctx.Done()
		return nil
	}
	out.introduce(l)
	l.Follow(ctx, out.story)
	return nil
}

// one sends one letter and tells what became of it.
func (c *labCommand) one(ctx context.Context, l *lab.Lab, s lab.Scenario, out *labPrinter) error {
	outcome, err := l.Run(ctx, s)
	if err != nil {
		return err
	}
	if c.JSON {
		out.result(outcome, c.Stay)
	} else {
		out.outcome(l, s, outcome)
	}
	if !outcome.Intact && !c.Stay {
		return errReported
	}
	return nil
}

// scenario is the named one with what the flags change of it.
func (c *labCommand) scenario(l *lab.Lab) (lab.Scenario, error) {
	all := l.Scenarios()
	i := slices.IndexFunc(all, func(s lab.Scenario) bool { return s.Name == c.Scenario })
	if i < 0 {
		return lab.Scenario{}, usageErrorf("no scenario %q; there are: %s", c.Scenario, lab.ScenarioNames())
	}
	s := all[i]
	if c.Letter != "" {
		content, err := readLetter(c.Letter)
		if err != nil {
			return s, err
		}
		s.Name, s.Title, s.Letter = "letter", "the letter of "+c.Letter, content
	}
	if c.From != "" {
		from, rest, err := mail.ParsePath(c.From)
		if err != nil || rest != "" {
			return s, usageErrorf("--from %q is not an address", c.From)
		}
		s.From = from
	}
	if len(c.To) > 0 {
		s.To = nil
		for _, to := range c.To {
			addr, err := mail.ParseAddress(to)
			if err != nil {
				return s, usageErrorf("--to: %v", err)
			}
			s.To = append(s.To, addr)
		}
	}
	if c.As != "" {
		s.As = c.As
	}
	if c.Helo != "" {
		if strings.ContainsFunc(c.Helo, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return s, usageErrorf("--helo %q: a name has no spaces and only ASCII", c.Helo)
		}
		s.Hello = c.Helo
	}
	s.Keep = c.Keep
	return s, nil
}

// labPrinter writes what the lab shows. It is safe for concurrent use.
type labPrinter struct {
	mu      sync.Mutex
	out     io.Writer
	options explain.Options
	held    []trail.Event // events that happened before the settings were printed
	begun   bool
	ended   bool // the result was printed: what is told after it is the end of the lab
}

// settings prints the first line of --json, then what happened before it.
func (p *labPrinter) settings(l *lab.Lab) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(struct {
		Kind     string              `json:"kind"`
		Note     string              `json:"note,omitempty"`
		Servers  []lab.Server        `json:"servers"`
		Database string              `json:"database,omitempty"`
		Clients  []lab.Client        `json:"clients"`
		Users    []lab.EmailSettings `json:"users"`
	}{"lab.settings", l.Note(), l.Servers(), l.Database(), l.Clients(), l.Settings()})
	for _, e := range p.held {
		p.line(e)
	}
	p.begun, p.held = true, nil
}

func (p *labPrinter) event(e trail.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
		return
	case !p.begun:
		p.held = append(p.held, e)
	default:
		p.line(e)
	}
}

func (p *labPrinter) line(v any) { json.NewEncoder(p.out).Encode(v) }

// result is the last line of --json for one letter, unless the lab stays.
func (p *labPrinter) result(o lab.Outcome, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = !more
	message := ""
	if len(o.Arrived) > 0 {
		message = string(o.Arrived[0].Content)
	}
	p.line(struct {
		Kind    string      `json:"kind"`
		Intact  bool        `json:"intact"`
		Problem string      `json:"problem,omitempty"`
		Nodes   *lab.Shares `json:"nodes,omitempty"`
		Message string      `json:"message,omitempty"`
	}{"lab.result", o.Intact, o.Problem, o.Shares, message})
}

func (p *labPrinter) outcome(l *lab.Lab, s lab.Scenario, o lab.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "The lab plays: %s (%s → %s)\n", s.Title, s.From.Path(), joinPaths(s.To))
	p.nodes(l, o.Shares)
	if note := l.Note(); note != "" {
		fmt.Fprintf(p.out, "Note: %s\n", note)
	}
	fmt.Fprintln(p.out)
	explain.Render(p.out, o.Events, p.options)
	for _, r := range o.Arrived {
		p.message("The message as "+r.By.String()+" received it, with all its header fields", r.Content)
	}
	for _, content := range o.Bounce {
		p.message("The report that came back to the sender's mailbox", content)
	}
	if o.Intact {
		fmt.Fprintln(p.out, "\nThe letter arrived intact.")
	} else {
		fmt.Fprintf(p.out, "\nThe letter did not arrive intact: %s.\n", o.Problem)
	}
}

// nodes says which of them did what.
func (p *labPrinter) nodes(l *lab.Lab, s *lab.Shares) {
	names := l.Nodes()
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(p.out, "The receiving side is %s\n", nodeNames(names))
	if s == nil {
		return
	}
	node := func(name string) string { return fmt.Sprintf("node %d (%s)", slices.Index(names, name)+1, name) }
	fmt.Fprintf(p.out, "  accepted by   %s, as message %s\n", node(s.AcceptedBy), s.Message)
	if s.Stopped {
		fmt.Fprintf(p.out, "  then stopped  %s\n", node(s.AcceptedBy))
	}
	fmt.Fprintf(p.out, "  fetched from  %s\n", node(s.ServedBy))
	fmt.Fprintf(p.out, "  shown by      %s, which read the receiving side's part of the waybill from the database\n", node(s.ShownBy))
}

// nodeNames lists nodes in words.
func nodeNames(names []string) string {
	if len(names) == 1 {
		return "1 node on PostgreSQL: " + names[0]
	}
	return fmt.Sprintf("%d nodes on one PostgreSQL: %s", len(names), strings.Join(names, ", "))
}

func (p *labPrinter) message(title string, content []byte) {
	fmt.Fprintf(p.out, "\n%s\n%s\n", title, strings.Repeat("─", len(title)))
	for line := range strings.SplitSeq(strings.TrimSuffix(string(content), "\r\n"), "\r\n") {
		fmt.Fprintln(p.out, "  "+dialogue.Printable(strings.ReplaceAll(line, "\t", "    ")))
	}
}

// story prints one message's way as it became complete.
func (p *labPrinter) story(s lab.Story) {
	p.mu.Lock()
	defer p.mu.Unlock()
	explain.Render(p.out, s.Events, p.options)
	fmt.Fprintln(p.out)
}

func (p *labPrinter) introduce(l *lab.Lab) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprint(p.out, "\nThe lab keeps running.\n")
	if note := l.Note(); note != "" {
		fmt.Fprintf(p.out, "Note: %s\n", note)
	}
	fmt.Fprint(p.out, "\nServers (in the lab → on this machine)\n")
	for _, s := range l.Servers() {
		fmt.Fprintf(p.out, "  %-28s %-34s %-18s → %s\n", s.Name, s.Role, s.Logical, s.Address)
	}
	for _, s := range l.Settings() {
		fmt.Fprintf(p.out, "\nEmail settings of %s\n", s.User)
		for _, row := range [][2]string{
			{"login", s.User.String()}, {"password", s.Password}, {"SMTP server", s.SMTP},
			{"  with STARTTLS and login", s.Submission}, {"  with TLS and login", s.Submissions},
			{"POP3 server", s.POP3}, {"  with TLS", s.POP3S},
		} {
			fmt.Fprintf(p.out, "  %-26s %s\n", row[0], row[1])
		}
		if len(s.RelayFrom) > 0 {
			fmt.Fprintf(p.out, "  %-26s %s\n", "relays without login for", strings.Join(s.RelayFrom, ", ")+" (127.0.0.1 is your terminal)")
		}
	}
	if names := l.Nodes(); len(names) > 0 {
		fmt.Fprintf(p.out, "\nThe receiving side is %s.\n", nodeNames(names))
		fmt.Fprint(p.out, "Each serves what any of them takes in: for the servers above, the address of another node is as good.\n")
		fmt.Fprintf(p.out, "Their database: psql '%s'\n", l.Database())
	}
	host, port, _ := strings.Cut(l.Settings()[0].SMTP, ":")
	fmt.Fprintf(p.out, "\nTry: telnet %s %s\n     swaks --server %s --port %s --helo sender.sendingemail.com --from me@sendingemail.com --to you@receivingemail.com\n", host, port, host, port)
	fmt.Fprint(p.out, "Each message's waybill appears here. Ctrl-C ends the lab.\n\n")
}

func joinPaths(paths []mail.Address) string {
	var all []string
	for _, p := range paths {
		all = append(all, p.Path())
	}
	return strings.Join(all, ", ")
}

// maxLetter bounds a letter that the lab sends, in octets: it is held whole, to be compared with what arrives.
const maxLetter = 100 << 20

// readLetter reads a message from a file and gives it the line ends of the wire, CR LF.
func readLetter(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := io.Copy(lineend.ToWire(&b), io.LimitReader(f, maxLetter+1)); err != nil {
		return nil, err
	}
	if b.Len() > maxLetter {
		return nil, fmt.Errorf("%s is larger than %d octets", file, maxLetter)
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	return b.Bytes(), nil
}
