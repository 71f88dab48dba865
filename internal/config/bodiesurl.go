package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Bodies says where large bodies lie. Its zero value: in the store.
type Bodies struct {
	Endpoint    string // "https://s3.example.test:9000"; "": in the store
	Region      string // "": the usual one
	Bucket      string
	Prefix      string // of all keys; "" or ending in a slash
	Credentials string // file; "": the environment
	Inline      int64  // octets of the largest message that stays in the store; 0: the usual
}

// String is the bucket and its prefix, for people; "" for bodies in the store.
func (b Bodies) String() string {
	if b.Endpoint == "" {
		return ""
	}
	return bodiesScheme + "://" + b.Bucket + "/" + b.Prefix + " at " + b.Endpoint
}

const (
	bodiesScheme = "s3"
	bodiesFix    = `write s3://bucket/prefix?endpoint=https://host:port, or "" for bodies in the store`
)

// Bounds of Bodies.Inline.
const (
	minInline = 64 << 10
	maxInline = 1 << 20
)

// maxPrefix bounds the prefix of all keys: with what is added a key must stay within S3's 1,024 octets.
const maxPrefix = 512

// bodiesURL reads s3://bucket[/prefix]?endpoint=…, with parameters. No mistake quotes a URL that could have a secret in it.
func bodiesURL(s string) (b Bodies, m *mistake) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != bodiesScheme || u.Opaque != "":
		return b, wrong("this is no URL of a bucket", bodiesFix)
	case u.User != nil || strings.Contains(u.Host, "@"):
		return b, wrong("the URL has a name or password in it", "remove it, and write the keys into a file that credentials= names, or into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return b, wrong("the URL has a # in it", "remove it")
	case !isBucket(u.Host):
		return b, wrong("the URL names no bucket as S3 has them", "write 3 to 63 small letters, digits, hyphens and dots after s3://, as in s3://mail-bodies?endpoint=https://host:port")
	}
	b.Bucket = u.Host
	if b.Prefix, m = bodiesPrefix(u.Path); m != nil {
		return Bodies{}, m
	}
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Bodies{}, wrong("the parameters behind the ? cannot be read", "write them as name=value with & between them")
	}
	if m = b.parameters(given); m == nil && b.Endpoint == "" {
		m = wrong("the URL does not say which server has the bucket", "add endpoint=https://host:port, as in s3://mail-bodies?endpoint=https://s3.example.test")
	}
	if m != nil {
		return Bodies{}, m
	}
	return b, nil
}

// bodiesPrefix reads what stands between bucket and parameters.
func bodiesPrefix(path string) (string, *mistake) {
	prefix := strings.Trim(path, "/")
	if prefix == "" {
		return "", nil
	}
	if len(prefix) > maxPrefix || strings.Contains(prefix, "//") ||
		strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") != "" ||
		slices.ContainsFunc(strings.Split(prefix, "/"), func(part string) bool { return strings.Trim(part, ".") == "" }) {
		return "", wrong("the prefix behind the bucket is not one that every server takes", "write letters, digits, hyphens, underscores and dots, with a slash between names")
	}
	return prefix + "/", nil
}

// parameters reads what stands behind the ?.
func (b *Bodies) parameters(given url.Values) (m *mistake) {
	for name, values := range given {
		if len(values) > 1 {
			return wrong("the URL sets "+shownName(name)+" twice", "keep one of the two")
		}
		switch value := values[0]; name {
		case "endpoint":
			b.Endpoint, m = endpoint(value)
		case "region":
			if b.Region = value; value == "" || strings.Trim(strings.ToLower(value), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
				m = wrong("the URL's region is none", "write its name, as in region=eu-central-1")
			}
		case "credentials":
			if b.Credentials, m = file(value); m == nil && value == "" {
				m = wrong("the URL's credentials name no file", "write credentials=FILE, or remove it for the environment's")
			}
		case "inline":
			if b.Inline, m = size(value); m == nil && (b.Inline < minInline || b.Inline > maxInline) {
				m = wrong("the URL's inline is out of bounds", `write a size from 64KiB to 1MiB, as in inline=256KiB`)
			}
		default:
			m = wrong("the URL has a parameter that there is not", "there are endpoint, region, credentials and inline")
		}
		if m != nil {
			return m
		}
	}
	return nil
}

// shownName quotes a parameter's name only if it is one that we know.
func shownName(name string) string {
	if slices.Contains([]string{"endpoint", "region", "credentials", "inline"}, name) {
		return name
	}
	return "a parameter"
}

func endpoint(s string) (string, *mistake) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || !isEndpointHost(u.Host) {
		return "", wrong("the URL's endpoint is none", "write endpoint=https://host:port, the server's address without bucket and path")
	}
	return u.Scheme + "://" + u.Host, nil
}

// isEndpointHost says whether s is a name or address with a port or without one.
func isEndpointHost(s string) bool {
	if _, _, err := net.SplitHostPort(s); err != nil && strings.HasSuffix(s, ":") {
		return false
	}
	return isHostPort(s)
}

// isBucket says whether s is a bucket's name by the rules of S3 that all servers share.
func isBucket(s string) bool {
	if len(s) < 3 || len(s) > 63 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || strings.Contains(s, "..") {
		return false
	}
	return strings.Trim(s[:1]+s[len(s)-1:], "-.") == s[:1]+s[len(s)-1:]
}

// bodiesSetter sets where bodies lie.
func bodiesSetter(t target, v value) []mistake {
	if v.kind != unstable.String {
		return []mistake{misplaced(value{kind: v.kind, line: v.line}, "a string", bodiesFix)}
	}
	if v.text == "" {
		return nil
	}
	parsed, m := bodiesURL(v.text)
	if m != nil {
		return []mistake{m.at(v.line)}
	}
	t.config.Bodies = parsed
	return nil
}

// checkBodies looks whether the file of credentials can be read. What is in it is looked at when it is used.
func (l *loader) checkBodies() {
	name := l.config.Bodies.Credentials
	if name == "" {
		return
	}
	if _, err := read(name); err != nil {
		l.wrong(l.lines["bodies"], "bodies", fmt.Sprintf("%s cannot be read: %v", name, err),
			"name a file with the lines aws_access_key_id = … and aws_secret_access_key = …")
	}
}
