package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// setting is one key: what the file may say, and what the reference says about it.
type setting struct {
	key     string // with its table
	kind    string // for people
	preset  string // default, as it would be written
	meaning string
	set     setter
}

// target is what a setting writes into.
type target struct {
	config *Config
	domain *Domain // below [[domain]] only
	route  *Route  // below [[route]] only
}

type setter func(target, value) []mistake

// Defaults of what is not absent or empty when nobody sets it.
const (
	defaultExpire      = 120 * time.Hour
	defaultConnections = 20
	defaultMessageSize = 50 << 20
	defaultRecipients  = 1000
	defaultMinFree     = 64 << 20
	defaultHeaderSize  = 256 << 10
	defaultReceived    = 100
	defaultBanAfter    = 10
	defaultBanTime     = 15 * time.Minute

	defaultSessions           = 20000
	defaultSessionsPerAddress = 100
	defaultErrors             = 10
	defaultCommandTimeout     = 5 * time.Minute // RFC 5321 §4.5.3.2.7
	defaultDataTimeout        = 3 * time.Minute // RFC 5321 §4.5.3.2.5
	defaultMinRate            = 1 << 10
	defaultCommitTime         = 2 * time.Second
)

// maxHeaderSize bounds what may be set as header_size: all that look at headers look so far.
const maxHeaderSize = 1 << 20

// maxConnections bounds what may be set as connections.
const maxConnections = 1000

// Default returns the configuration of a file that sets nothing. Hostname and Data have no default.
func Default() Config {
	return Config{
		Auth: Auth{BanAfter: defaultBanAfter, BanTime: defaultBanTime},
		Queue: Queue{
			Retry:  []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour},
			Expire: defaultExpire, Connections: defaultConnections,
		},
		Limits: Limits{
			MessageSize: defaultMessageSize, Recipients: defaultRecipients, MinFree: defaultMinFree,
			HeaderSize: defaultHeaderSize, Received: defaultReceived,
			Sessions: defaultSessions, SessionsPerAddress: defaultSessionsPerAddress, Errors: defaultErrors,
			CommandTimeout: defaultCommandTimeout, DataTimeout: defaultDataTimeout, MinRate: defaultMinRate,
			CommitTime: defaultCommitTime,
		},
	}
}

// settings returns every key in the order of the reference. Its rows are the only place where a key is defined.
func settings() []setting {
	const listen, networks = "list of address:port", "list of networks"
	return []setting{
		{"hostname", "domain name", "", "The name in greetings, Received and Authentication-Results. Required.",
			text(func(t target) *string { return &t.config.Hostname }, domainName)},
		{"data", "directory", "", "Embedded store, control socket (`control.sock`) and self-made certificates; one server only. Required. " +
			"Like every file named here it is relative to the directory of the configuration file.",
			text(func(t target) *string { return &t.config.Data }, file)},
		{"store", "URL", `""`, "Which store: `\"\"` is the embedded one, in `data`; `postgres://user:password@host:5432/database` is a [PostgreSQL database](postgres.md), " +
			"whose tables `waybill store migrate` makes. Without a password in it, libpq's password file is asked.",
			secret(storeFix, text(func(t target) *StoreURL { return &t.config.Store }, storeURL))},
		{"bodies", "URL", `""`, "Where large bodies lie: `\"\"` is the store; `s3://bucket/prefix?endpoint=https://host:port` is a bucket of an [S3-compatible object store](objects.md), " +
			"with `&region=…`, `&credentials=FILE` for the keys (else the environment's `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`) and `&inline=64KiB` for how large a message " +
			"may be that stays in the store.", bodiesSetter},

		{"listen.smtp", listen, "[]", "Mail from other servers; STARTTLS. Port 25.",
			list(func(t target) *[]netip.AddrPort { return &t.config.Listen.SMTP }, listenAddress(25))},
		{"listen.submission", listen, "[]", "Mail from clients, who must log in; STARTTLS. Port 587.",
			list(func(t target) *[]netip.AddrPort { return &t.config.Listen.Submission }, listenAddress(587))},
		{"listen.submissions", listen, "[]", "The same with TLS from the first byte. Port 465.",
			list(func(t target) *[]netip.AddrPort { return &t.config.Listen.Submissions }, listenAddress(465))},
		{"listen.pop3", listen, "[]", "Mailboxes by POP3; STLS. Port 110.",
			list(func(t target) *[]netip.AddrPort { return &t.config.Listen.POP3 }, listenAddress(110))},
		{"listen.pop3s", listen, "[]", "The same with TLS from the first byte. Port 995.",
			list(func(t target) *[]netip.AddrPort { return &t.config.Listen.POP3S }, listenAddress(995))},
		{"listen.dns", listen, "[]", "Not built yet: must be absent or empty.", notBuilt("remove it or write []")},
		{"listen.http", listen, "[]", "`/metrics` for Prometheus and `/healthz`, without TLS or a login: for a loopback or inner address.",
			list(func(t target) *[]netip.AddrPort { return &t.config.Listen.HTTP }, listenAddress(8080))},

		{"tls.cert", "file", `""`, "Certificate, PEM, with its chain. It is read again when it changes. Absent: a self-signed one, made once in `data`.",
			text(func(t target) *string { return &t.config.TLS.Cert }, file)},
		{"tls.key", "file", `""`, "Its private key, PEM. Both are given or neither.",
			text(func(t target) *string { return &t.config.TLS.Key }, file)},

		{"proxy.from", networks, "[]", "Proxies (HAProxy, a load balancer) that connect for others to any mail listener. Each of their connections must begin with a PROXY " +
			"protocol v2 header, and the client that it names is the peer in every respect. From elsewhere such a header is no command.",
			list(func(t target) *[]netip.Prefix { return &t.config.Proxy.From }, network)},

		{"relay.trusted", networks, "[]", "Networks that may relay on the `smtp` listeners without a login.",
			list(func(t target) *[]netip.Prefix { return &t.config.Relay.Trusted }, network)},
		{"relay.source", "list of addresses", "[]", "Where outbound connections come from. Empty: the addresses of the `smtp` listeners, unless those are wildcards.",
			list(func(t target) *[]netip.Addr { return &t.config.Relay.Source }, sourceAddress)},

		{"auth.cleartext_from", networks, "[]", "Networks that may log in without TLS (SMTP, POP3).",
			list(func(t target) *[]netip.Prefix { return &t.config.Auth.CleartextFrom }, network)},
		{"auth.ban_after", "number", "10", "Failed logins within 15 minutes after which an IPv4 address or IPv6 /64 may not log in for `ban_time` (SMTP, POP3). Nodes that share a store count together. `0`: never.",
			scalar(func(t target) *int { return &t.config.Auth.BanAfter }, number)},
		{"auth.ban_time", "time", `"15m"`, "How long that lasts.",
			scalar(func(t target) *time.Duration { return &t.config.Auth.BanTime }, duration)},

		{"submission.normalise_line_ends", "true or false", "false", "Whether a bare CR or LF in a message from a client becomes CR LF. Otherwise such a message is refused, as it always is on the `smtp` listeners.",
			boolean(func(t target) *bool { return &t.config.Submission.NormaliseLineEnds })},

		{"resolver.servers", listen, "[]", "DNS servers that are asked. Empty: those of `/etc/resolv.conf`.",
			list(func(t target) *[]netip.AddrPort { return &t.config.Resolver.Servers }, serverAddress)},

		{"queue.retry", "list of times", `["1m", "5m", "15m", "1h"]`, "How long to wait after each failed attempt; the last one again until `expire`.",
			list(func(t target) *[]time.Duration { return &t.config.Queue.Retry }, duration)},
		{"queue.expire", "time", `"120h"`, "Age at which a message is given up and its sender told.",
			scalar(func(t target) *time.Duration { return &t.config.Queue.Expire }, duration)},
		{"queue.connections", "number", "20", "Connections to one next hop at the same time.",
			scalar(func(t target) *int { return &t.config.Queue.Connections }, atMost(maxConnections, positive(number)))},
		{"queue.rate", "number", "0", "Messages a second to one next hop; the others wait their turn. Fractions are welcome. `0`: as many as it takes.",
			fraction(func(t target) *float64 { return &t.config.Queue.Rate })},

		{"limits.message_size", "size", `"50MiB"`, "Largest message, in octets or with KiB, MiB, GiB.",
			scalar(func(t target) *int64 { return &t.config.Limits.MessageSize }, positive(size))},
		{"limits.recipients", "number", "1000", "Most recipients of one message.",
			scalar(func(t target) *int { return &t.config.Limits.Recipients }, positive(number))},
		{"limits.min_free", "size", `"64MiB"`, "Room on the disk of `data` below which mail is refused with 452 while everything else goes on. `0`: never. Of a store in PostgreSQL the room is not known.",
			scalar(func(t target) *int64 { return &t.config.Limits.MinFree }, size)},
		{"limits.header_size", "size", `"256KiB"`, "Largest header of a message, 1 MiB at most; beyond it 552.",
			scalar(func(t target) *int64 { return &t.config.Limits.HeaderSize }, atMost(maxHeaderSize, positive(size)))},
		{"limits.received", "number", "100", "Received fields from which on a message is taken to be in a loop, and gets 554. RFC 5321 asks for 100 or more.",
			scalar(func(t target) *int { return &t.config.Limits.Received }, positive(number))},
		{"limits.mailbox_size", "size", `"0"`, "Quota of an account that has none of its own (`waybill account set --quota`): octets of all its mail. A full mailbox gets 452, a message " +
			"that never fits 552. `0`: any.",
			scalar(func(t target) *int64 { return &t.config.Limits.MailboxSize }, size)},
		{"limits.rate_per_address", "number", "0", "Messages a second from one IPv4 address or IPv6 /64 on the `smtp` listeners, trusted ones excepted; " +
			"a minute's worth may come at once, beyond it 450. Fractions are welcome. Of nodes that share a store it is the rate of all together. `0`: off.",
			fraction(func(t target) *float64 { return &t.config.Limits.RatePerAddress })},
		{"limits.rate_per_account", "number", "0", "The same for one account on the submission listeners.",
			fraction(func(t target) *float64 { return &t.config.Limits.RatePerAccount })},
		{"limits.sessions", "number", "20000", "Most SMTP sessions at the same time; further ones get 421. Of POP3 sessions as many.",
			scalar(func(t target) *int { return &t.config.Limits.Sessions }, positive(number))},
		{"limits.sessions_per_address", "number", "100", "The same from one IPv4 address or IPv6 /64.",
			scalar(func(t target) *int { return &t.config.Limits.SessionsPerAddress }, positive(number))},
		{"limits.errors", "number", "10", "Commands of one SMTP session that break the protocol, and logins that fail, before it gets 421.",
			scalar(func(t target) *int { return &t.config.Limits.Errors }, positive(number))},
		{"limits.command_timeout", "time", `"5m"`, "How long an SMTP session waits for a whole command (RFC 5321 §4.5.3.2.7 asks for 5 minutes).",
			scalar(func(t target) *time.Duration { return &t.config.Limits.CommandTimeout }, duration)},
		{"limits.data_timeout", "time", `"3m"`, "How long it waits for the next octets of a message (RFC 5321 §4.5.3.2.5 asks for 3 minutes).",
			scalar(func(t target) *time.Duration { return &t.config.Limits.DataTimeout }, duration)},
		{"limits.min_rate", "size", `"1KiB"`, "Octets a second at which a message must come, after 10 minutes' grace.",
			scalar(func(t target) *int64 { return &t.config.Limits.MinRate }, positive(size))},
		{"limits.commit_time", "time", `"2s"`, "How long the store may take to make a message durable; while it takes longer, MAIL is refused with 451.",
			scalar(func(t target) *time.Duration { return &t.config.Limits.CommitTime }, duration)},

		{"domain.name", "domain name", "", "A domain whose mail is taken. Required in each `[[domain]]`.",
			text(func(t target) *string { return &t.domain.Name }, domainName)},
		{"domain.postmaster", "address", `""`, "Who gets the mail for `postmaster` there; in one of the domains of this file. Empty: the domain's first account.",
			text(func(t target) *string { return &t.domain.Postmaster }, address)},
		{"domain.scram", "true or false", "true", "Whether its accounts can log in by SCRAM, which shows the password to nobody on the way. The keys for it are stored beside the password's " +
			"hash with each new password, and are [the weaker half](operation.md#passwords) of the two.",
			negated(func(t target) *bool { return &t.domain.NoSCRAM })},

		{"route.domains", "list of domains", "", "Whose mail takes this way: domain names, `*.example.test` for all below one, `*` for all that no other `[[route]]` names " +
			"(a smarthost). The longest name that fits decides. Required in each `[[route]]`.",
			list(func(t target) *[]string { return &t.route.Domains }, pattern)},
		{"route.via", "list of host:port", "[]", "Hosts that take it, instead of the domains' MX hosts; tried in this order. Names are looked up for their addresses, not for MX records.",
			list(func(t target) *[]Hop { return &t.route.Via }, hop)},
		{"route.tls", "text", `"opportunistic"`, "`opportunistic`: TLS if it is offered, whatever the certificate says; `required`: STARTTLS, and a certificate that is valid for " +
			"the host's name; `implicit`: such TLS from the first byte. With `user` it is one of the last two.",
			text(func(t target) *string { return &t.route.TLS }, oneOf(RouteTLSOpportunistic, RouteTLSRequired, RouteTLSImplicit))},
		{"route.ca", "file", `""`, "Certificates, PEM, of the authorities that may have signed the hosts'. Absent: those of the system.",
			text(func(t target) *string { return &t.route.CA }, file)},
		{"route.user", "text", `""`, "Login at the hosts. Empty: none.",
			text(func(t target) *string { return &t.route.User }, file)},
		{"route.password_file", "file", `""`, "Its password: the first line of a file that only the server may read.",
			text(func(t target) *string { return &t.route.PasswordFile }, file)},
		{"route.connections", "number", "0", "Connections to the next hop at the same time. `0`: as `[queue]` says.",
			scalar(func(t target) *int { return &t.route.Connections }, atMost(maxConnections, number))},
		{"route.rate", "number", "0", "Messages a second to the next hop. `0`: as `[queue]` says.",
			fraction(func(t target) *float64 { return &t.route.Rate })},
	}
}

// text sets a string that is "" or passes a check, which may normalise it.
func text[S ~string](at func(target) *S, check func(string) (string, *mistake)) setter {
	return func(t target, v value) []mistake {
		if v.kind != unstable.String {
			return []mistake{misplaced(v, "a string", instead(check, v.text))}
		}
		if v.text == "" {
			return nil
		}
		checked, m := check(v.text)
		if m != nil {
			return []mistake{m.at(v.line)}
		}
		*at(t) = S(checked)
		return nil
	}
}

// secret keeps what stands where a string with a password in it belongs from being quoted.
func secret(fix string, set setter) setter {
	return func(t target, v value) []mistake {
		if v.kind != unstable.String {
			return []mistake{misplaced(value{kind: v.kind, line: v.line}, "a string", fix)}
		}
		return set(t, v)
	}
}

// scalar sets one value that is written as a string, or as a bare whole number.
func scalar[T any](at func(target) *T, parse func(string) (T, *mistake)) setter {
	return func(t target, v value) []mistake {
		if v.kind != unstable.String && v.kind != unstable.Integer {
			return []mistake{misplaced(v, "a string or a number", instead(parse, v.text))}
		}
		parsed, m := parse(strings.ReplaceAll(v.text, "_", ""))
		if m != nil {
			return []mistake{m.at(v.line)}
		}
		*at(t) = parsed
		return nil
	}
}

// boolean sets true or false.
func boolean(at func(target) *bool) setter {
	return func(t target, v value) []mistake {
		if v.kind != unstable.Bool {
			return []mistake{misplaced(v, "true or false", "write true or false, without quotes")}
		}
		*at(t) = v.text == "true"
		return nil
	}
}

// negated sets the opposite of true or false: so that true is the default.
func negated(at func(target) *bool) setter {
	return func(t target, v value) []mistake {
		m := boolean(at)(t, v)
		if m == nil {
			*at(t) = !*at(t)
		}
		return m
	}
}

// list sets a list of strings; all bad ones are told.
func list[T any](at func(target) *[]T, parse func(string) (T, *mistake)) setter {
	return func(t target, v value) []mistake {
		if v.kind != unstable.Array {
			fix := instead(parse, v.text)
			if v.kind == unstable.String || fix == quoted(v.text) {
				fix = "write [" + strconv.Quote(v.text) + "]"
			}
			return []mistake{misplaced(v, "a list", fix)}
		}
		var mistakes []mistake
		parsed := make([]T, 0, len(v.items))
		for _, item := range v.items {
			if item.kind != unstable.String {
				mistakes = append(mistakes, misplaced(item, "a string", instead(parse, item.text)))
				continue
			}
			one, m := parse(item.text)
			if m != nil {
				mistakes = append(mistakes, m.at(item.line))
				continue
			}
			parsed = append(parsed, one)
		}
		*at(t) = parsed
		return mistakes
	}
}

// notBuilt refuses everything but what means off.
func notBuilt(fix string) setter {
	return func(_ target, v value) []mistake {
		off := v.text == "" && len(v.items)+len(v.keys) == 0
		if v.kind == unstable.Integer || v.kind == unstable.Float {
			n, err := strconv.ParseFloat(v.text, 64)
			off = err == nil && n == 0
		}
		if off {
			return nil
		}
		return []mistake{{line: v.line, problem: "this is not built yet", fix: fix}}
	}
}

func positive[T int | int64](parse func(string) (T, *mistake)) func(string) (T, *mistake) {
	return func(s string) (T, *mistake) {
		n, m := parse(s)
		if m == nil && n <= 0 {
			m = wrong(s+" would let no mail in", "write a number above 0")
		}
		return n, m
	}
}

func atMost[T int | int64](most T, parse func(string) (T, *mistake)) func(string) (T, *mistake) {
	return func(s string) (T, *mistake) {
		n, m := parse(s)
		if m == nil && n > most {
			m = wrong(s+" is too much", fmt.Sprintf("write %d or less", most))
		}
		return n, m
	}
}

// fraction sets a number that may have a fraction, written with or without quotes.
func fraction(at func(target) *float64) setter {
	set := scalar(at, rate)
	return func(t target, v value) []mistake {
		if v.kind == unstable.Float {
			v.kind = unstable.String
		}
		return set(t, v)
	}
}

// maxRate bounds what may be set as messages a second, far above what a machine takes.
const maxRate = 1_000_000

func rate(s string) (float64, *mistake) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0 && n <= maxRate) {
		return 0, wrong(fmt.Sprintf("%q is no number of messages a second", s), "write one like 2 or 0.5; 0 is off")
	}
	return n, nil
}

func number(s string) (int, *mistake) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0, wrong(fmt.Sprintf("%q is not a whole number", s), "write digits only, without quotes")
	}
	return int(n), nil
}

func file(s string) (string, *mistake) {
	if strings.ContainsRune(s, 0) {
		return "", wrong("a file name has no NUL character", "remove it")
	}
	return s, nil
}

// instead says what to write for a value of another type: the same in quotes, or what its parser says.
func instead[T any](parse func(string) (T, *mistake), text string) string {
	if _, m := parse(text); m != nil {
		return m.fix
	}
	return quoted(text)
}

func quoted(text string) string { return "write " + strconv.Quote(text) }

// kinds are TOML's types in words.
var kinds = map[unstable.Kind]string{
	unstable.String: "a string", unstable.Integer: "a number", unstable.Float: "a number with a fraction",
	unstable.Bool: "true or false", unstable.Array: "a list", unstable.InlineTable: "a table",
}

// misplaced is the mistake of a value of another type.
func misplaced(v value, want, fix string) mistake {
	kind := kinds[v.kind]
	if kind == "" {
		kind = "a date or time"
	}
	switch {
	case v.kind == unstable.Array && len(v.items) == 1 && v.items[0].kind == unstable.String:
		fix = quoted(v.items[0].text)
	case v.kind == unstable.Array || v.kind == unstable.InlineTable:
		fix = "write " + want
	}
	return mistake{line: v.line, problem: fmt.Sprintf("%s stands where %s belongs", kind, want), fix: fix}
}

// at gives a mistake its line.
func (m *mistake) at(line int) mistake {
	m.line = line
	return *m
}
