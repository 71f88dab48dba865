package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder is a directory with a configuration file whose lines 5 to 7 are [tls], cert and key.
type folder struct {
	*testing.T
	dir, file string
}

func newFolder(t *testing.T, data string) folder {
	f := folder{T: t, dir: t.TempDir()}
	f.file = f.write("waybill.toml", "hostname = \"mail.example.test\"\ndata = \""+data+"\"\n"+
		"[listen]\nsmtp = [\"127.0.0.1:25\"]\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n")
	return f
}

func (f folder) write(name, content string) (file string) {
	f.Helper()
	file = filepath.Join(f.dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		f.Fatal(err)
	}
	return file
}

// wrong loads the file and checks that there is this one mistake.
func (f folder) wrong(line int, key string, words ...string) {
	f.Helper()
	_, err := Load(f.file)
	all, _ := errors.AsType[Errors](err)
	if len(all) != 1 || all[0].Line != line || all[0].Key != key || all[0].Fix == "" {
		f.Errorf("want one mistake of %s in line %d, but: %v", key, line, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(all[0].Problem, w) {
			f.Errorf("%q lacks %q", all[0].Problem, w)
		}
	}
}

func block(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

// pair makes a self-signed certificate and its key.
func pair(t *testing.T, key crypto.Signer) (certPEM, keyPEM string) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", cert), block("PRIVATE KEY", der)
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestLoadReadsTheCertificate: what would fail when the server starts, or in every handshake, is told with its line.
func TestLoadReadsTheCertificate(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "data")
	first := ecKey(t)
	cert, key := pair(t, first)
	_, other := pair(t, ecKey(t))
	_, otherKind := pair(t, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	der, err := x509.MarshalECPrivateKey(first)
	if err != nil {
		t.Fatal(err)
	}

	f.write("cert.pem", cert)
	f.wrong(7, "tls.key", "key.pem cannot be read: no such file")
	for content, words := range map[string]string{
		other: "is not the key of the certificate", otherKind: "is not the key of the certificate",
		"": "holds no private key", cert: `but "CERTIFICATE"`, block("PRIVATE KEY", []byte("x")): "is not a key that can be used",
		block("ENCRYPTED PRIVATE KEY", []byte("x")): "is encrypted",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n": "is encrypted",
	} {
		f.write("key.pem", content)
		f.wrong(7, "tls.key", words)
	}
	for _, good := range []string{key, block("EC PRIVATE KEY", der)} {
		f.write("key.pem", good)
		c, err := Load(f.file)
		if err != nil || c.Data != filepath.Join(f.dir, "data") || c.TLS.Cert != filepath.Join(f.dir, "cert.pem") {
			t.Errorf("%+v, %v", c, err)
		}
	}
	for content, words := range map[string]string{
		"": "holds no certificate", key: `holds no certificate in PEM form but "PRIVATE KEY"`,
		block("CERTIFICATE", []byte("x")): "is broken", cert + block("CERTIFICATE", []byte("x")): "is broken",
	} {
		f.write("cert.pem", content)
		f.wrong(6, "tls.cert", words)
	}
}

// TestLoadLooksAtData: it must be a directory, or a name that one can be made under.
func TestLoadLooksAtData(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"taken", "taken/below", "taken/far/below"} {
		f := newFolder(t, data)
		cert, key := pair(t, ecKey(t))
		f.write("cert.pem", cert)
		f.write("key.pem", key)
		if _, err := Load(f.file); err != nil {
			t.Errorf("%s does not exist, and can be made: %v", data, err)
		}
		f.write("taken", "")
		f.wrong(2, "data", filepath.Join(f.dir, "taken")+" is a file, not a directory")
	}
}

func TestLoadOfNothing(t *testing.T) {
	t.Parallel()
	_, err := Load(filepath.Join(t.TempDir(), "absent.toml"))
	if all, ok := errors.AsType[Errors](err); !ok || !strings.Contains(all.Error(), "absent.toml: cannot be read: no such file") {
		t.Errorf("absent file: %v", err)
	}
}
