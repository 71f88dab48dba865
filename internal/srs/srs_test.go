package srs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	now    = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
)

func addr(local, domain string) mail.Address { return mail.Address{Local: local, Domain: domain} }

func TestThereAndBack(t *testing.T) {
	t.Parallel()
	r := Rewrite(secret, addr("Me=x", "a.test"), "b.test", now)
	if r.Token != "" || r.Path.Domain != "b.test" || !strings.HasSuffix(r.Path.Local, "=a.test=Me=x") || !Is(r.Path) {
		t.Fatalf("%+v", r)
	}
	for _, path := range []mail.Address{r.Path, addr(strings.ToLower(r.Path.Local), "b.test"), addr(strings.ToUpper(r.Path.Local), "b.test")} {
		for _, at := range []time.Time{now, now.Add(Life), now.Add(-time.Hour)} {
			to, token, err := Parse(secret, path, at)
			if err != nil || token != "" || !strings.EqualFold(to.String(), "Me=x@a.test") {
				t.Errorf("%s: %v, %q, %v", path, to, token, err)
			}
		}
	}
	if _, _, err := Parse(secret, r.Path, now.Add(Life+48*time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("after its life: %v", err)
	}
	for _, forged := range []string{"SRS0=AAAAAA=QQ=a.test=you", r.Path.Local + "x", strings.Replace(r.Path.Local, "a.test", "c.test", 1), "SRS0=", "SRS0=x=y", "me"} {
		if _, _, err := Parse(secret, addr(forged, "b.test"), now); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v", forged, err)
		}
	}
	if _, _, err := Parse([]byte("another"), r.Path, now); !errors.Is(err, ErrForged) {
		t.Errorf("another secret: %v", err)
	}
}

func TestLongAddressGetsAToken(t *testing.T) {
	t.Parallel()
	long := addr(strings.Repeat("x", 60), "bounces.mail.example.test")
	r := Rewrite(secret, long, "b.test", now)
	if r.Token == "" || len(r.Path.Local) > mail.MaxLocalPart {
		t.Fatalf("%+v", r)
	}
	if again := Rewrite(secret, long, "b.test", now.Add(time.Hour)); again != r {
		t.Errorf("%+v, later on the day %+v", r, again)
	}
	if _, token, err := Parse(secret, addr(strings.ToLower(r.Path.Local), "b.test"), now); err != nil || token != r.Token {
		t.Errorf("%q, %v", token, err)
	}
}

func TestWhatStays(t *testing.T) {
	t.Parallel()
	for _, a := range []mail.Address{{}, addr("me", "b.test"), addr("me", "B.test")} {
		if r := Rewrite(secret, a, "b.test", now); r.Path != a || r.Token != "" {
			t.Errorf("%s became %+v", a, r)
		}
	}
}

// Nothing that comes as an address is taken for one of ours, or does harm.
func FuzzParse(f *testing.F) {
	f.Add("SRS0=AAAAAA=QQ=a.test=you")
	f.Add(Rewrite(secret, addr("me", "a.test"), "b.test", now).Path.Local)
	f.Fuzz(func(t *testing.T, local string) {
		to, token, err := Parse(secret, addr(local, "b.test"), now)
		if err != nil {
			return
		}
		if token == "" && !strings.EqualFold(Rewrite(secret, to, "b.test", now).Path.Local, local) && !isFresh(strings.Split(local, "=")[2], now) {
			t.Errorf("%q leads to %s", local, to)
		}
	})
}
