package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBodiesURL: what no server would take is told before anybody connects, and nothing of a secret with it.
func TestBodiesURL(t *testing.T) {
	t.Parallel()
	for url, says := range map[string]string{ // "": it is right
		"s3://bucket?endpoint=https://s3.test":                              "",
		"s3://b.u-1/?endpoint=http://192.0.2.1:9000":                        "",
		"s3://bucket/a/b?endpoint=https://[2001:db8::1]:9000&region=eu":     "",
		"s3://bucket?endpoint=https://s3.test&inline=65536":                 "",
		"s3://bucket?endpoint=https://s3.test&inline=1MiB&credentials=keys": "",
		"/var/lib/hush":     "no URL of a bucket",
		"https://s3.test/b": "no URL of a bucket",
		"s3:bucket":         "no URL of a bucket",
		"s3://AK:hush@bucket?endpoint=https://s3.test": "name or password in it",
		"s3://bucket?endpoint=https://AK:hush@s3.test": "endpoint is none",
		"s3://bu?endpoint=https://s3.test":             "names no bucket",
		"s3://Bucket?endpoint=https://s3.test":         "names no bucket",
		"s3://-bucket?endpoint=https://s3.test":        "names no bucket",
		"s3://bucket:9000?endpoint=https://s3.test":    "names no bucket",
		"s3://bucket":                                        "which server has the bucket",
		"s3://bucket?region=eu":                              "which server has the bucket",
		"s3://bucket?endpoint=s3.test":                       "endpoint is none",
		"s3://bucket?endpoint=https://s3.test:0":             "endpoint is none",
		"s3://bucket?endpoint=https://s3.test:":              "endpoint is none",
		"s3://bucket?endpoint=https://s3.test/bucket":        "endpoint is none",
		"s3://bucket?endpoint=ftp://s3.test":                 "endpoint is none",
		"s3://bucket?endpoint=https://s3.test&endpoint=b":    "endpoint twice",
		"s3://bucket?endpoint=https://s3.test&hush=a&hush=b": "a parameter twice",
		"s3://bucket?endpoint=https://s3.test&hush=1":        "a parameter that there is not",
		"s3://bucket?endpoint=https://s3.test&region=":       "region is none",
		"s3://bucket?endpoint=https://s3.test&region=a/b":    "region is none",
		"s3://bucket?endpoint=https://s3.test&credentials=":  "name no file",
		"s3://bucket?endpoint=https://s3.test&inline=1KiB":   "out of bounds",
		"s3://bucket?endpoint=https://s3.test&inline=2MiB":   "out of bounds",
		"s3://bucket?endpoint=https://s3.test&inline=x":      "not a size",
		"s3://bucket?endpoint=https://s3.test;region=%":      "cannot be read",
		"s3://bucket/a//b?endpoint=https://s3.test":          "prefix behind the bucket",
		"s3://bucket/../b?endpoint=https://s3.test":          "prefix behind the bucket",
		"s3://bucket/a b?endpoint=https://s3.test":           "prefix behind the bucket",
		"s3://bucket/a?endpoint=https://s3.test#hush":        "a # in it",
	} {
		text := fmt.Sprintf("hostname = \"m.test\"\ndata = \"/d\"\nbodies = %q\nlisten.smtp = [\"127.0.0.1:25\"]\n", url)
		c, err := Parse("t.toml", []byte(text))
		switch {
		case says == "" && (err != nil || c.Bodies.Endpoint == ""):
			t.Errorf("%s: %v", url, err)
		case says != "" && (err == nil || !strings.HasPrefix(err.Error(), "t.toml:3: bodies: ") || !strings.Contains(err.Error(), says)):
			t.Errorf("%s: %v, want %q", url, err, says)
		case err != nil && strings.Contains(err.Error(), "hush"):
			t.Errorf("a secret is quoted: %v", err)
		}
	}
}

func TestBodiesCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "c.toml")
	text := "hostname = \"m.test\"\ndata = \"d\"\nlisten.smtp = [\"127.0.0.1:25\"]\n[[domain]]\nname = \"m.test\"\n"
	if err := os.WriteFile(name, []byte("bodies = \"s3://bucket?endpoint=https://s3.test&credentials=keys\"\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err == nil || !strings.Contains(err.Error(), "c.toml:1: bodies: "+filepath.Join(dir, "keys")+" cannot be read") {
		t.Error("a file that is not there:", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(name); err != nil || c.Bodies.Credentials != filepath.Join(dir, "keys") {
		t.Error(c.Bodies, err)
	}
}
