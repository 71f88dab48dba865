package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"
)

const (
	nameWaybill = "waybill"
	namePostfix = "Postfix + Dovecot"
)

//go:embed *.tmpl
var templates embed.FS

// server is a mail server that can be measured.
type server interface {
	name() string
	version() string
	start(ctx context.Context, l launch) (*running, error)
}

// launch says how a server is started.
type launch struct {
	dir  string   // its own empty directory
	wrap []string // a command that its processes run under, as strace; empty: none
	env  []string // added to the environment

	users int    // mailboxes; 0: mailboxes
	sink  string // port on 127.0.0.1 to which mail for sinkDomain goes; "": there is none

	// Of waybill alone:
	host  string // its name; "": mail.bench.test
	store string // URL of its store; "": the embedded one
	retry string // pause after a failed attempt; "": longer than any figure takes
}

// mailboxes is how many mailboxes the server has.
func (l launch) mailboxes() int {
	if l.users == 0 {
		return mailboxes
	}
	return l.users
}

// sinkPort is where mail for sinkDomain goes.
func (l launch) sinkPort() string {
	if l.sink == "" {
		return noSinkPort
	}
	return l.sink
}

// Domains that are not the servers' own: mail for one goes to a sink of this program, for the other to a port where
// nobody listens.
const (
	sinkDomain = "sink.test"
	deadDomain = "dead.test"
	deadPort   = "9"
	noSinkPort = "10"
)

// running is a started server.
type running struct {
	smtp, pop3 string // addresses, of several nodes with commas between
	processes  []*exec.Cmd
	end        func() error // what is to be done when they have ended; nil: nothing
}

// available returns the servers that can run here and, for the others, what is missing.
func available(o options) (servers []server, missing []string) {
	consider := func(s server, problem string) {
		switch {
		case !strings.HasPrefix(strings.ToLower(s.name()), strings.ToLower(o.only)):
		case problem != "":
			missing = append(missing, s.name()+": "+problem)
		default:
			servers = append(servers, s)
		}
	}
	consider(postfixDovecot{}, postfixProblem())
	problem := ""
	if o.waybill == "" {
		problem = "no binary given"
	}
	consider(waybill{binary: o.waybill, sessions: o.sessions}, problem)
	return servers, missing
}

func postfixProblem() string {
	if os.Getuid() != 0 {
		return "Postfix must be started by root"
	}
	for _, file := range []string{"/usr/sbin/postfix", "/usr/sbin/dovecot", "/usr/lib/dovecot/lmtp", "/usr/lib/dovecot/pop3"} {
		if _, err := os.Stat(file); err != nil {
			return "not installed: " + file
		}
	}
	return ""
}

type postfixDovecot struct{}

func (postfixDovecot) name() string { return namePostfix }

func (postfixDovecot) version() string {
	p := strings.TrimSpace(output("/usr/sbin/postconf", "-d", "-h", "mail_version"))
	d, _, _ := strings.Cut(output("/usr/sbin/dovecot", "--version"), " ")
	return "Postfix " + p + ", Dovecot " + d
}

func (postfixDovecot) start(ctx context.Context, l launch) (*running, error) {
	nobody, err := user.Lookup("nobody") // whom the mail belongs to
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	values := map[string]string{"Dir": l.dir, "Domain": domain, "SMTP": ports[0], "POP3": ports[1], "UID": nobody.Uid, "GID": nobody.Gid, "Sink": l.sinkPort()}
	var addresses, users strings.Builder
	for i := range l.mailboxes() {
		fmt.Fprintf(&addresses, "%s x\n", mailbox(i))
		fmt.Fprintf(&users, "%s:%s\n", mailbox(i), password)
	}
	err = errors.Join(
		directory(l.dir, "queue", ""), directory(l.dir, "run", ""), directory(l.dir, "state", ""), directory(l.dir, "postfix", ""),
		directory(l.dir, "data", "postfix"), directory(l.dir, "mail", "nobody"),
		os.WriteFile(filepath.Join(l.dir, "mailboxes"), []byte(addresses.String()), 0o644),
		os.WriteFile(filepath.Join(l.dir, "users"), []byte(users.String()), 0o644),
		selfSigned(l.dir),
		expand("postfix-main.cf.tmpl", filepath.Join(l.dir, "postfix", "main.cf"), values),
		expand("postfix-master.cf.tmpl", filepath.Join(l.dir, "postfix", "master.cf"), values),
		expand("dovecot.conf.tmpl", filepath.Join(l.dir, "dovecot.conf"), values),
	)
	if err != nil {
		return nil, err
	}
	r := &running{smtp: "127.0.0.1:" + ports[0], pop3: "127.0.0.1:" + ports[1]}
	err = errors.Join(
		r.run(l, "/usr/sbin/dovecot", "-F", "-c", filepath.Join(l.dir, "dovecot.conf")),
		r.run(l, "/usr/sbin/postfix", "-c", filepath.Join(l.dir, "postfix"), "start-fg"),
	)
	return r.await(ctx, err)
}

type waybill struct {
	binary   string
	sessions int
}

func (waybill) name() string { return nameWaybill }

func (w waybill) version() string {
	return "waybill " + strings.TrimSpace(output("git", "describe", "--always", "--dirty"))
}

func (w waybill) start(ctx context.Context, l launch) (*running, error) {
	config, ports, err := w.configure(ctx, l)
	if err != nil {
		return nil, err
	}
	if err := w.addAccounts(ctx, config, l.mailboxes()); err != nil {
		return nil, err
	}
	return w.serve(ctx, l, config, ports)
}

// configure writes a configuration to l.dir. ports are those of SMTP and POP3.
func (w waybill) configure(ctx context.Context, l launch) (config string, ports []string, err error) {
	if ports, err = freePorts(2); err != nil {
		return "", nil, err
	}
	resolver, err := answerNothing(ctx)
	if err != nil {
		return "", nil, err
	}
	config = filepath.Join(l.dir, "waybill.toml")
	return config, ports, expand("waybill.toml.tmpl", config, map[string]string{
		"Host": cmp.Or(l.host, "mail."+domain), "Dir": l.dir, "Store": l.store, "Domain": domain, "SMTP": ports[0], "POP3": ports[1],
		"Resolver": resolver, "Retry": cmp.Or(l.retry, "12h"), "Sink": l.sinkPort(), "Dead": deadPort,
	})
}

func (w waybill) addAccounts(ctx context.Context, config string, n int) error {
	for i := range n {
		add := exec.CommandContext(ctx, w.binary, "account", "add", mailbox(i), "--password-stdin", "--config", config)
		add.Stdin = strings.NewReader(password + "\n")
		if out, err := add.CombinedOutput(); err != nil {
			return fmt.Errorf("account add %s: %w: %s", mailbox(i), err, out)
		}
	}
	return nil
}

func (w waybill) serve(ctx context.Context, l launch, config string, ports []string) (*running, error) {
	r := &running{smtp: "127.0.0.1:" + ports[0], pop3: "127.0.0.1:" + ports[1]}
	return r.await(ctx, r.run(l, w.binary, "serve", "--config", config))
}

// run starts a process of the server; what it says goes to a log in the server's directory.
func (r *running) run(l launch, command ...string) error {
	args := append(append([]string{}, l.wrap...), command...)
	log, err := os.Create(filepath.Join(l.dir, filepath.Base(command[0])+".out.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), l.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches only the generator, which stops them in order
	if err := cmd.Start(); err != nil {
		return err
	}
	r.processes = append(r.processes, cmd)
	return nil
}

// await returns r once both ports greet, or stops everything.
func (r *running) await(ctx context.Context, err error) (*running, error) {
	for address := range strings.SplitSeq(r.smtp+","+r.pop3, ",") {
		if err == nil {
			err = awaitGreeting(ctx, address)
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

func awaitGreeting(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := dial(ctx, address)
		if err == nil {
			_, err = c.line()
			c.close()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no greeting from %s: %w", address, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// pid of this process: the servers are its children, and whatever wraps or forks them is below it too.
func (r *running) pid() int { return os.Getpid() }

// stop ends every process of the server: politely, and after ten seconds by force.
func (r *running) stop() error {
	var done []chan struct{}
	for _, cmd := range r.processes {
		for _, p := range processTree(cmd.Process.Pid) {
			if p.name != "strace" { // it ends by itself, after its last line
				syscall.Kill(p.pid, syscall.SIGTERM)
			}
		}
		end := make(chan struct{})
		go func() { cmd.Wait(); close(end) }()
		done = append(done, end)
	}
	deadline := time.After(10 * time.Second)
	var err error
	for i, end := range done {
		select {
		case <-end:
		case <-deadline:
			err = fmt.Errorf("%s did not stop in 10 s", r.processes[i].Path)
			for _, cmd := range r.processes {
				for _, p := range processTree(cmd.Process.Pid) {
					syscall.Kill(p.pid, syscall.SIGKILL)
				}
			}
			<-end
		}
	}
	r.processes = nil
	if r.end != nil {
		err = errors.Join(err, r.end())
		r.end = nil
	}
	return err
}

func expand(name, file string, values map[string]string) error {
	t, err := template.ParseFS(templates, name)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Option("missingkey=error").Execute(&b, values); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// directory makes parent/name, owned by the user owner if that is not "".
func directory(parent, name, owner string) error {
	path := filepath.Join(parent, name)
	if err := os.Mkdir(path, 0o755); err != nil || owner == "" {
		return err
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	return os.Chown(path, uid, -1)
}

// freePorts asks the kernel for n ports on loopback that nobody uses now.
func freePorts(n int) (ports []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}

func output(command string, args ...string) string {
	out, _ := exec.Command(command, args...).Output()
	return string(out)
}

// logTail is the end of every log in dir, to be shown with an error.
func logTail(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	ofNodes, _ := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	var b strings.Builder
	for _, file := range append(files, ofNodes...) {
		data, _ := os.ReadFile(file)
		fmt.Fprintf(&b, "--- %s\n%s\n", strings.TrimPrefix(file, dir), data[max(0, len(data)-2000):])
	}
	return b.String()
}
