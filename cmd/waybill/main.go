// Command waybill is a complete mail system: server, clients, and a whole mail Internet to try it in.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"waybill/internal/config"
	"waybill/internal/lab"
)

// commands are the program's commands and flags.
type commands struct {
	Lab     labCommand     `cmd:"" help:"Run the whole mail Internet of the reference scenario on this machine and print a letter's waybill."`
	Init    initCommand    `cmd:"" help:"Set up a mail server for a domain: configuration, keys, the first account, and what is left to do."`
	Serve   serveCommand   `cmd:"" help:"Run a mail server from a configuration file."`
	Domain  domainCommand  `cmd:"" help:"Manage domains."`
	Account accountCommand `cmd:"" help:"Manage accounts."`
	Alias   aliasCommand   `cmd:"" help:"Manage aliases."`
	Queue   queueCommand   `cmd:"" help:"Show and manage the queue."`
	Route   routeCommand   `cmd:"" help:"Tell what would happen to mail from one address to another, and why; nothing is sent."`
	Send    sendCommand    `cmd:"" help:"Submit a message to a mail server."`
	Fetch   fetchCommand   `cmd:"" help:"Retrieve mail by POP3."`
	Import  importCommand  `cmd:"" help:"Put the mail of a Maildir or an mbox file into an account."`
	Export  exportCommand  `cmd:"" help:"Write the mail of an account into a Maildir or an mbox file."`
	Backup  backupCommand  `cmd:"" help:"Copy everything that the server has, as it is at one moment; it may run."`
	Restore restoreCommand `cmd:"" help:"Put a backup in the place of a store that is not there."`
	Verify  verifyCommand  `cmd:"" help:"Read all that the server has and tell what is damaged; it may run."`
	Store   storeCommand   `cmd:"" help:"Copy a store into another one; make the tables of one in PostgreSQL."`
	Explain explainCommand `cmd:"" help:"Print the waybill of a message."`

	Helper helperCommand `cmd:"" name:"offline-helper" hidden:""`
}

// Exit statuses: 0 only when what was asked for happened.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
	exitLater = 75 // nothing happened, but may if it is tried again later; EX_TEMPFAIL of sysexits
)

// streams are the program's standard streams.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Writing to a pipe that nobody reads fails like any other write, so that the lab is taken down in order.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// usageError is a mistake in what was typed.
type usageError struct{ error }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// laterError is a failure that may pass, and has changed nothing.
type laterError struct{ error }

func (e laterError) Unwrap() error { return e.error }

// errReported is returned by commands that have said already what went wrong.
var errReported = errors.New("reported")

// run is the program without its process: arguments in, exit status out.
func run(ctx context.Context, args []string, std streams) int {
	out := &checkedWriter{Writer: std.out}
	std.out = out
	status := -1 // until kong, which prints help, exits by itself
	var cli commands
	parser, err := kong.New(&cli,
		kong.Name("waybill"),
		kong.Description("A complete mail system, and the record of every message's delivery."),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { status = code }),
		kong.Vars{"scenarios": lab.ScenarioNames(), "maxnodes": strconv.Itoa(lab.MaxNodes)},
		kong.Bind(std),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(std.err, "waybill:", err)
		return exitFail
	}
	if err := checkArguments(args); err != nil {
		printError(std.err, err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if status >= 0 {
		return status
	}
	if err != nil {
		fmt.Fprintf(std.err, "waybill: %v (waybill --help lists commands and flags)\n", err)
		return exitUsage
	}
	err = parsed.Run()
	if failed := out.err; failed != nil { // what was asked for has not been seen
		printError(std.err, fmt.Errorf("write the output: %w", failed))
		return exitFail
	}
	return exitStatus(std, err)
}

// exitStatus is that of what a command returned, which it prints unless that is reported.
func exitStatus(std streams, err error) int {
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errReported) {
		printError(std.err, err)
	}
	if _, usage := errors.AsType[usageError](err); usage {
		return exitUsage
	}
	if _, later := errors.AsType[laterError](err); later {
		return exitLater
	}
	return exitFail
}

// checkArguments wants UTF-8: the parser would put other characters in the place of what is none.
func checkArguments(args []string) error {
	for _, arg := range args {
		if !utf8.ValidString(arg) {
			return usageErrorf("the argument %q is not UTF-8", arg)
		}
	}
	return nil
}

// printError prints one line, or a line for each mistake in a configuration file.
func printError(w io.Writer, err error) {
	if mistakes, ok := errors.AsType[config.Errors](err); ok {
		fmt.Fprintln(w, mistakes)
		return
	}
	fmt.Fprintln(w, "waybill:", visible(err.Error()))
}

// visible makes text that may be a stranger's fit for a terminal: it can break lines, and do nothing else there.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) && !unicode.In(r, unicode.Bidi_Control) && r != utf8.RuneError {
			return r
		}
		return '?'
	}, text)
}

// checkedWriter remembers the first error. It is what commands print to.
type checkedWriter struct {
	io.Writer
	mu  sync.Mutex
	err error
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.Writer.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// fileUnder returns the file that a command's output goes to, if it is one.
func fileUnder(w io.Writer) (*os.File, bool) {
	if checked, ok := w.(*checkedWriter); ok {
		w = checked.Writer
	}
	f, ok := w.(*os.File)
	return f, ok
}
