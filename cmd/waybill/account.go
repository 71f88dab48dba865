package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/mail"
)

// accountCommand manages accounts.
type accountCommand struct {
	Add      accountAddCommand      `cmd:"" help:"Create an account with its mailbox."`
	Password accountPasswordCommand `cmd:"" help:"Give an account another password."`
	List     accountListCommand     `cmd:"" help:"List accounts."`
	Show     accountShowCommand     `cmd:"" help:"Show an account with its mailboxes."`
	Set      accountSetCommand      `cmd:"" help:"Disable or enable an account, or change its quota."`
	Rm       accountRmCommand       `cmd:"" help:"Remove an account and all its mail."`
}

// accountAddCommand creates an account, whether or not the server runs.
type accountAddCommand struct{ accountArguments }

// accountPasswordCommand changes a password, whether or not the server runs.
type accountPasswordCommand struct{ accountArguments }

// accountArguments are those of both.
type accountArguments struct {
	Address       string `arg:"" placeholder:"ADDR" help:"The account's address, which is also its login."`
	PasswordStdin bool   `help:"Read the password from standard input; one final line end is dropped."`
	configFlag
}

func (c *accountAddCommand) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, admin.AddAccount, "created", "account %s created\n")
}

func (c *accountPasswordCommand) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, admin.SetPassword, "changed", "password of %s changed\n")
}

// run does something with an account and a password, and says so under that key or in those words.
func (c *accountArguments) run(ctx context.Context, std streams,
	do func(a admin, ctx context.Context, addr mail.Address, password string) error, key, words string) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	addr, err := mail.ParseAddress(c.Address)
	if err != nil {
		return err
	}
	password, err := readPassword(std, c.PasswordStdin)
	if err != nil {
		return err
	}
	admin, err := openAdmin(conf, c.Config, std)
	if err != nil {
		return err
	}
	if err := do(admin, ctx, addr, password); err != nil {
		return errors.Join(err, admin.Close())
	}
	return errors.Join(c.say(std, key, addr, words), admin.Close())
}

// readPassword takes it from standard input, or asks twice on a terminal.
func readPassword(std streams, fromStdin bool) (string, error) {
	if fromStdin {
		b, err := io.ReadAll(io.LimitReader(std.in, directory.MaxPassword+3))
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return checkPassword(dropLineEnd(string(b)))
	}
	f, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", errors.New("no terminal to ask for the password: pass it with --password-stdin")
	}
	first, err := ask(std, f, "Password: ")
	if err != nil {
		return "", err
	}
	again, err := ask(std, f, "Again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ")
	}
	return checkPassword(first)
}

func ask(std streams, f *os.File, prompt string) (string, error) {
	fmt.Fprint(std.err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(std.err)
	return string(b), err
}

func checkPassword(p string) (string, error) { return p, directory.CheckPassword(p) }

// dropLineEnd drops one final LF or CR LF.
func dropLineEnd(s string) string {
	s, _ = strings.CutSuffix(s, "\n")
	s, _ = strings.CutSuffix(s, "\r")
	return s
}

// firstLine reads one line without its end.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, directory.MaxPassword+3)).ReadString('\n')
	if err == io.EOF {
		err = nil
	}
	return dropLineEnd(line), err
}
