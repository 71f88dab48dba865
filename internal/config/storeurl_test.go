package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestStoreURL: what libpq would take for something else, or the server refuse, is told before anybody connects.
func TestStoreURL(t *testing.T) {
	t.Parallel()
	const hidden = "hush"
	for url, says := range map[string]string{ // "": it is right
		"postgres://u:hush@db:5432/waybill":                              "",
		"postgresql://u@db/waybill":                                      "",
		"postgres://u:hush%2F%40@192.0.2.1,[::1]:5433/w?sslmode=require": "",
		"postgres://u@/waybill?host=/var/run/postgresql":                 "",
		"postgres:///waybill?host=/var/run/postgresql":                   "",
		"postgres://u:hush@one,two:5433/w?target_session_attrs=primary":  "",
		"postgres://u:hush@one,two/w?port=5433,5434":                     "",
		"postgres://u@/w?host=/run/a,/run/b&port=5433":                   "",
		"postgres://u@/w?host=192.0.2.1,::1,db":                          "",
		"postgres://u:hush@db/w?connect_timeout=5&search_path=a":         "",
		"postgres://u:hush@db/w?statement_timeout=0&lock_timeout=1s":     "",
		"/var/lib/hush":                                       "no URL of a store",
		"host=db password=hush dbname=w":                      "no URL of a store",
		"mysql://u:hush@db/w":                                 "is PostgreSQL",
		"postgres://u:hush@db":                                "names no database",
		"postgres://u:hush@db/":                               "names no database",
		"postgres://u:hush@db/a/b":                            "names no database",
		"postgres://u:hush@/w":                                "names no host",
		"postgres://:hush@db/w":                               "names no user",
		"postgres://u:hu/hush@db/w":                           "/ as %2F",
		"postgres://u:hu?hush@db/w":                           "? as %3F",
		"postgres://u:hu#hush@db/w":                           "as %23",
		"postgres://u:hu%hush@db/w":                           "as %25",
		"postgres://u:hu hush@db/w":                           "as %20",
		"postgres://u:hush@db:70000/w":                        "1 to 65535",
		"postgres://u:hush@::1/w":                             "in brackets",
		"postgres://u:hush@d b/w":                             "space",
		"postgres://u:hush@db/w?sslmode=on":                   "one of disable",
		"postgres://u:hush@db/w?sslmod=hush":                  "did you mean sslmode?",
		"postgres://u:hush@db/w?pool_max_conns=hush":          "a parameter that there is not",
		"postgres://u@db/w?password=hush":                     "a parameter that there is not",
		"postgres://u@db/w?sslmode=disable&sslmode=hush":      "twice",
		"postgres://u:hush@db/w?target_session_attrs=standby": "takes no writes",
		"postgres://u:hush@db/w?connect_timeout=hush":         "digits",
		"postgres://u@/w?host=./hush":                         "nor a directory",
		"postgres://u@/w?host=hush:5432":                      "nor a directory",
		"postgres://u:hu@hush@db/w":                           "@ as %40",
		"postgres://u:12/hush@db":                             "/ as %2F",
		"postgres://u:12/hu?a=hush@db/w":                      "/ as %2F",
		"postgres://u:hush@db/w?host=other":                   "keep one of the two",
		"postgres://u:hush@db:5432/w?port=5433":               "keep one of the two",
		"postgres://u:hush@db/w?port=hush":                    "from 1 to 65535",
		"postgres://u:hush@db/w?port=":                        "from 1 to 65535",
		"postgres://u:hush@a,b,c/w?port=1,2":                  "as many as there are hosts",
		"postgres://u:hush@a,b/w?target_session_attrs=any":    "several hosts",
	} {
		c, err := Parse("t.toml", fmt.Appendf(nil, "hostname = 'm.test'\ndata = '/d'\nlisten.pop3 = ['127.0.0.1:110']\nstore = '%s'\n", url))
		if says == "" {
			if err != nil || string(c.Store) != url {
				t.Errorf("%s: %q, %v", url, string(c.Store), err)
			}
		} else if err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "t.toml:4: store: ") {
			t.Errorf("%s: %v, want %s", url, err, says)
		}
		values, _ := json.Marshal(c)
		shown := fmt.Sprint(err, c, string(values), StoreURL(url))
		if strings.Contains(shown, hidden) || strings.Contains(fmt.Sprintf("%+v %s", c, c.Store), hidden) {
			t.Errorf("the password is in %s", shown)
		}
	}
}

// TestStoreURLIsNeverQuoted: neither where something else than a string stands, nor where the line is no TOML.
func TestStoreURLIsNeverQuoted(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		`["postgres://u:hush@db/w"]`, `{ url = "postgres://u:hush@db/w" }`, `postgres://u:hush@db/w`, `"postgres://u:hush@db/w`,
		`'postgres://u:hush@db/w"`, `"postgres://u:hush\@db/w"`, `"a"\nstore = "postgres://u:hush@db/w"`,
	} {
		_, err := Parse("t.toml", []byte("hostname = 'm.test'\ndata = '/d'\nlisten.pop3 = ['127.0.0.1:110']\nstore = "+value+"\n"))
		if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "t.toml:") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestStoreURLIsShown(t *testing.T) {
	t.Parallel()
	for url, want := range map[StoreURL]string{
		"": "",
		"postgresql://u%20v:hush@one:5432,[::1]/w%2Fx?sslmode=disable": "postgres://u%20v@one:5432,[::1]/w%2Fx",
		"postgres:///w?host=/run/postgresql&password=hush":             "postgres:///w?host=/run/postgresql",
		"hush":                                        "postgres://…",
		"postgres://u:12/hush@db":                     "postgres://…",
		"postgres://u:hush@one,two/w?port=5433":       "postgres://u@one:5433,two:5433/w",
		"postgres://u:hush@one,[::1]/w?port=5433,5":   "postgres://u@one:5433,[::1]:5/w",
		"postgres://u@/w?host=one,::1&port=5433":      "postgres://u@one:5433,[::1]:5433/w",
		"postgres://u@/w?host=/run/a,/run/b&port=5,6": "postgres://u@/w?host=/run/a,/run/b&port=5,6",
	} {
		if got := url.String(); got != want || url.Place() != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
