package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"waybill/internal/config"
)

// storeNodesCommand lists the nodes of a store.
type storeNodesCommand struct{ configFlag }

func (c *storeNodesCommand) Run(ctx context.Context, std streams) error {
	return c.with(std, func(a admin, conf config.Config) error {
		nodes, err := a.Nodes(ctx)
		if err != nil {
			return err
		}
		none := "no node runs"
		if conf.Store == "" {
			none = "the store is embedded: only one server can use it"
		}
		var rows [][]string
		var values []any
		for _, n := range nodes {
			rows = append(rows, []string{
				strconv.Itoa(int(n.Number)), n.Name, n.Joined.Format(time.DateTime), beatWords(n.Beat), strings.Join(n.Taken, " "),
			})
			values = append(values, n)
		}
		return c.table(std, none, "NODE NAME JOINED LAST-BEAT QUEUE-TAKEN-OVER-FROM", rows, values)
	})
}

// beatWords is how long ago a node showed that it is alive. Its clock may be another than ours.
func beatWords(beat time.Time) string {
	if beat.IsZero() {
		return "never"
	}
	return strconv.Itoa(int(time.Since(beat).Seconds())) + " s ago"
}
