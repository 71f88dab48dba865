package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"waybill/internal/config"
	"waybill/internal/mail"
)

// configFlag is what the commands have in common that work on a node, running or not.
type configFlag struct {
	JSON   bool   `name:"json" help:"Print the result as JSON."`
	Config string `required:"" env:"WAYBILL_CONFIG" type:"existingfile" placeholder:"FILE" help:"Configuration file of the node (TOML)."`
}

// with opens the node, does something to it, and closes it.
func (f *configFlag) with(std streams, do func(a admin, conf config.Config) error) error {
	conf, err := config.Load(f.Config)
	if err != nil {
		return err
	}
	a, err := openAdmin(conf, f.Config, std)
	if err != nil {
		return err
	}
	return errors.Join(do(a, conf), a.Close())
}

// say tells what was done, under that key or in those words.
func (f *configFlag) say(std streams, key string, what any, words string) error {
	if f.JSON {
		return json.NewEncoder(std.out).Encode(map[string]any{key: what})
	}
	_, err := fmt.Fprintf(std.out, words, what)
	return err
}

// table prints rows under headings, or values as JSON, one a line; with no row, in words, what there is none of.
func (f *configFlag) table(std streams, none, headings string, rows [][]string, values []any) error {
	if f.JSON {
		return encodeEach(std.out, values)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(std.err, none)
		return err
	}
	return printTable(std.out, headings, rows)
}

func printTable(w io.Writer, headings string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(headings, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// octets is a size for people.
func octets(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, names := float64(n), "KMGTPE"
	i := -1
	for f >= unit && i < len(names)-1 {
		f /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, names[i])
}

// parseAddress reads an address of the command line.
func parseAddress(what, s string) (mail.Address, error) {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return a, usageErrorf("%s: %v", what, err)
	}
	return a, nil
}

// domainArg normalises a domain of the command line; "" stays.
func domainArg(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	d, err := mail.ParseDomain(s)
	if err != nil {
		return "", usageErrorf("%v", err)
	}
	return d, nil
}

// find returns the one value that has the wanted property.
func find[T any](ctx context.Context, list func(context.Context) ([]T, error), is func(T) bool) (found T, ok bool, err error) {
	all, err := list(ctx)
	for _, v := range all {
		if is(v) {
			return v, true, err
		}
	}
	return found, false, err
}
