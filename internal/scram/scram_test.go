package scram

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
)

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// TestKeysOfTheRFC checks the keys against the exchange of RFC 7677 §3, by the formulas of RFC 5802 §3.
func TestKeysOfTheRFC(t *testing.T) {
	t.Parallel()
	k, err := Derive("pencil", decode(t, "W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
	if err != nil {
		t.Fatal(err)
	}
	const authMessage = "n=user,r=rOprNGfwEbeRWgbNEkqO," +
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096," +
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	if got, want := mac(k.ServerKey, authMessage), decode(t, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="); !bytes.Equal(got, want) {
		t.Errorf("ServerSignature is %x, want %x", got, want)
	}
	clientKey := decode(t, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=") // ClientProof
	for i, x := range mac(k.StoredKey, authMessage) {
		clientKey[i] ^= x
	}
	if h := sha256.Sum256(clientKey); !bytes.Equal(h[:], k.StoredKey) {
		t.Errorf("H(ClientKey) is %x, StoredKey %x", h, k.StoredKey)
	}
}

func TestKeysAsText(t *testing.T) {
	t.Parallel()
	k, err := Derive("secret", []byte("0123456789abcdef"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	text := k.String()
	if back, err := Parse(text); err != nil || back.String() != text {
		t.Errorf("%s read back is %v, %v", text, back, err)
	}
	for _, broken := range []string{
		"", "SCRAM-SHA-256", strings.Replace(text, "256", "1", 1), strings.Replace(text, "4096", "4095", 1), strings.Replace(text, "4096", "x", 1),
		strings.Replace(text, "4096", "999999999", 1), text + "=", text[:len(text)-8], text + "$", strings.Replace(text, "4096:", "4096:$", 1),
	} {
		if _, err := Parse(broken); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

// TestPasswordsAreWhatTheyLookLike: SASLprep makes of two ways to write a password one (RFC 4013 §2); what it forbids is
// taken as it is.
func TestPasswordsAreWhatTheyLookLike(t *testing.T) {
	t.Parallel()
	salt := []byte("0123456789abcdef")
	derive := func(password string) string {
		k, err := Derive(password, salt, 4096)
		if err != nil {
			t.Error(err)
		}
		return k.String()
	}
	if derive("I\u00adX") != derive("IX") || derive("\u2168") != derive("IX") || derive("ix") == derive("IX") {
		t.Error("the examples of RFC 4013 §3 are not told apart as there")
	}
	if derive("a\u0007b") == derive("ab") {
		t.Error("a password with a control character is that without")
	}
}

func TestFake(t *testing.T) {
	t.Parallel()
	a, again, b := Fake([]byte("secret"), "a", 4096), Fake([]byte("secret"), "a", 4096), Fake([]byte("secret"), "b", 4096)
	if a.String() != again.String() || a.String() == b.String() || a.String() == Fake([]byte("other"), "a", 4096).String() {
		t.Error("fake keys are not those of their name")
	}
	if k, err := Parse(a.String()); err != nil || len(k.Salt) != saltSize || slices.Equal(k.StoredKey, k.ServerKey) {
		t.Errorf("%v, %v: fake keys do not look like real ones", k, err)
	}
}

// exchange lets a client and a server talk, and returns what both think of it.
func exchange(t *testing.T, o ClientOptions, k Keys, binding []byte, plus bool) (client, server error) {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(func(login string) (Keys, error) {
		if login != o.Login {
			t.Errorf("asked for %q, want %q", login, o.Login)
		}
		return k, nil
	}, binding, plus)
	if err != nil {
		return nil, err
	}
	var answer []byte
	for range 3 {
		message, proven, err := c.Next(answer)
		if err != nil || proven {
			return err, nil
		}
		var done bool
		if answer, done, err = s.Next(message); err != nil {
			return nil, err
		}
		if done {
			if _, proven, err = c.Next(answer); err == nil && !proven {
				err = errors.New("no proof")
			}
			return err, nil
		}
	}
	return errors.New("no end"), nil
}

func TestExchange(t *testing.T) {
	t.Parallel()
	right, err := Derive("secret", []byte("0123456789abcdef"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	weak, greedy := right, right
	weak.Iterations, greedy.Iterations = 4095, maxAsked+1
	here, elsewhere := []byte("this connection"), []byte("another connection")
	me := ClientOptions{Login: "me,=@example.test", Password: "secret"}
	with := func(change func(*ClientOptions)) ClientOptions {
		o := me
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		client         ClientOptions
		keys           Keys
		binding        []byte
		plus           bool
		atClient, atUs error
	}{
		"without TLS":          {client: me, keys: right},
		"unable to bind":       {client: me, keys: right, binding: here},
		"bound":                {client: with(func(o *ClientOptions) { o.Binding = here }), keys: right, binding: here, plus: true},
		"not offered, rightly": {client: with(func(o *ClientOptions) { o.CouldBind = true }), keys: right},
		"wrong password":       {client: with(func(o *ClientOptions) { o.Password = "wrong" }), keys: right, atUs: ErrProof},
		"no such account":      {client: me, keys: Fake([]byte("x"), "me", 4096), atUs: ErrProof},
		"man in the middle":    {client: with(func(o *ClientOptions) { o.Binding = elsewhere }), keys: right, binding: here, plus: true, atUs: ErrExchange},
		"offer cut":            {client: with(func(o *ClientOptions) { o.CouldBind = true }), keys: right, binding: here, atUs: ErrExchange},
		"-PLUS without it":     {client: me, keys: right, binding: here, plus: true, atUs: ErrExchange},
		"nothing to bind to":   {client: with(func(o *ClientOptions) { o.Binding = here }), keys: right, plus: true, atUs: ErrExchange},
		"too few rounds":       {client: me, keys: weak, atClient: ErrServer},
		"too many rounds":      {client: me, keys: greedy, atClient: ErrServer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := exchange(t, c.client, c.keys, c.binding, c.plus)
			if !errors.Is(client, c.atClient) || !errors.Is(server, c.atUs) {
				t.Errorf("the client says %v, want %v; the server %v, want %v", client, c.atClient, server, c.atUs)
			}
		})
	}
}

// TestServerThatKnowsNothing: a server that lets anybody in does not get past a client.
func TestServerThatKnowsNothing(t *testing.T) {
	t.Parallel()
	c, err := NewClient(ClientOptions{Login: "me", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := c.Next(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, nonce, _ := bytes.Cut(first, []byte("r="))
	if _, _, err = c.Next([]byte("r=" + string(nonce) + "more,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096")); err != nil {
		t.Fatal(err)
	}
	if _, proven, err := c.Next([]byte("v=" + base64.StdEncoding.EncodeToString(make([]byte, 32)))); proven || !errors.Is(err, ErrServer) {
		t.Errorf("proven %v, %v", proven, err)
	}
}

func TestLookupFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("store")
	s, err := NewServer(func(string) (Keys, error) { return Keys{}, broken }, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Next([]byte("n,a=you,n=me,r=abc")); !errors.Is(err, broken) || s.Login() != "me" || s.Identity() != "you" {
		t.Errorf("%v, %q, %q", err, s.Login(), s.Identity())
	}
}

func FuzzServer(f *testing.F) {
	k, err := Derive("secret", []byte("0123456789abcdef"), 4096)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	f.Add("p=tls-exporter,a=you,n=me=2C,r=x", "c=cD10bHMtZXhwb3J0ZXIsLA==,r=x,p=")
	f.Add("y,,m=ext,n=,r=", ",,,")
	f.Fuzz(func(t *testing.T, first, final string) {
		for _, binding := range [][]byte{nil, []byte("connection")} {
			s, err := NewServer(func(string) (Keys, error) { return k, nil }, binding, binding != nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, message := range []string{first, final, final} {
				if _, done, err := s.Next([]byte(message)); done || err != nil && !errors.Is(err, ErrExchange) && !errors.Is(err, ErrProof) {
					t.Errorf("%q, %q: done %v, %v", first, final, done, err)
				}
			}
		}
	})
}

func FuzzClient(f *testing.F) {
	f.Add("r=x,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096", "v=AAAA")
	f.Add("r=x,s=,i=99999999999999999999", "e=other-error")
	f.Fuzz(func(t *testing.T, first, final string) {
		if asked([]byte(first)) > 5000 { // costs time only
			return
		}
		c, err := NewClient(ClientOptions{Login: "me", Password: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		ours, _, err := c.Next(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := strings.Cut(string(ours), "r=")
		for _, message := range []string{strings.Replace(first, "r=", "r="+nonce, 1), final} {
			if _, proven, err := c.Next([]byte(message)); proven || err != nil && !errors.Is(err, ErrServer) {
				t.Errorf("%q: proven %v, %v", message, proven, err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := Parse(s)
		if err != nil {
			return
		}
		if back, err := Parse(k.String()); err != nil || back.String() != k.String() {
			t.Errorf("%q: %v, %v", s, back, err)
		}
	})
}
