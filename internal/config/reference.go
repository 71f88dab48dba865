package config

import (
	"fmt"
	"strings"
)

// Reference returns the configuration reference in Markdown, as it stands in docs/config.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

One TOML file, named by ` + "`--config`" + `. It is checked as a whole: every mistake is told at once with its file and line and
what to write instead. An absent key has its default; an empty list of listeners is off, but one must be on. Addresses are numbers, IPv6 in
brackets (` + "`[::1]:25`" + `); networks have a length (` + "`192.0.2.0/24`" + `, one address ` + "`192.0.2.1/32`" + `); times have a unit (` + "`90s`, `15m`, `120h`" + `).

This page is made from the code: ` + "`go test ./internal/config -update`" + `.

`)
	b.WriteString("```toml\n" + example() + "```\n")
	table := "?"
	for _, s := range settings() {
		name := tableOf(s.key)
		if name != table {
			table = name
			title := "`" + name + "`"
			if name == "" {
				title = "Above the first table"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title)
		}
		preset := "–"
		if s.preset != "" {
			preset = "`" + s.preset + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", lastPart(s.key), s.kind, preset, s.meaning)
	}
	return b.String()
}

// example is a file that a small server would have.
func example() string {
	return `hostname = "mail.example.test"
data     = "/var/lib/waybill"

[listen]
smtp        = ["0.0.0.0:25"]
submission  = ["0.0.0.0:587"]
submissions = ["0.0.0.0:465"]
pop3        = ["0.0.0.0:110"]
pop3s       = ["0.0.0.0:995"]

[[domain]]
name = "example.test"
`
}
