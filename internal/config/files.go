package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkData looks for a file where the directory of data must be, or above it. An absent directory is made later.
func (l *loader) checkData() {
	line, ok := l.lines["data"]
	if !ok || l.config.Data == "" {
		return
	}
	for dir := l.config.Data; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			l.wrong(line, "data", dir+" is a file, not a directory", "name a directory; one that does not exist is made")
			return
		case err == nil || !errors.Is(err, fs.ErrNotExist) && !strings.HasSuffix(err.Error(), "not a directory") || dir == filepath.Dir(dir):
			return
		}
	}
}

// Kinds of PEM blocks. Of private keys there are several: "RSA PRIVATE KEY" is another.
const (
	certificate = "CERTIFICATE"
	privateKey  = "PRIVATE KEY"
)

const certificateFix = "name a PEM file, or remove both keys for a self-signed certificate"

// checkCertificate reads the two files of [tls].
func (l *loader) checkCertificate() {
	cert, certOK := l.pem("tls.cert", l.config.TLS.Cert, certificate)
	key, keyOK := l.pem("tls.key", l.config.TLS.Key, privateKey)
	if !certOK || !keyOK {
		return
	}
	for rest := cert; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); block.Type == certificate && err != nil {
			l.wrong(l.lines["tls.cert"], "tls.cert", fmt.Sprintf("a certificate in %s is broken: %v", l.config.TLS.Cert, err), "make the file anew from the authority's certificates")
			return
		}
	}
	switch _, err := tls.X509KeyPair(cert, key); {
	case err == nil:
	case strings.Contains(err.Error(), "does not match"):
		l.wrong(l.lines["tls.key"], "tls.key", fmt.Sprintf("%s is not the key of the certificate in %s: %v", l.config.TLS.Key, l.config.TLS.Cert, short(err)),
			"name the key with which the certificate was requested; the server's own certificate must be the first one in its file")
	default:
		l.wrong(l.lines["tls.key"], "tls.key", fmt.Sprintf("%s is not a key that can be used: %v", l.config.TLS.Key, short(err)),
			"write an RSA, ECDSA or Ed25519 key in PEM form, not encrypted")
	}
}

// pem reads a PEM file that must have a block of that kind. ok is false if there is none, or no file.
func (l *loader) pem(key, name, kind string) (content []byte, ok bool) {
	if name == "" {
		return nil, false
	}
	content, err := read(name)
	if err != nil {
		l.wrong(l.lines[key], key, fmt.Sprintf("%s cannot be read: %v", name, err), certificateFix)
		return nil, false
	}
	var found []string
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			l.wrong(l.lines[key], key, name+" is encrypted, and nobody is there to type its password", "write the key without encryption, in a file that only the server may read")
			return nil, false
		}
		if block.Type == kind || kind == privateKey && strings.HasSuffix(block.Type, " "+kind) {
			return content, true
		}
		found = append(found, block.Type)
	}
	problem := fmt.Sprintf("%s holds no %s in PEM form", name, strings.ToLower(kind))
	if len(found) > 0 {
		problem += fmt.Sprintf(" but %q", found[0])
	}
	l.wrong(l.lines[key], key, problem, certificateFix)
	return nil, false
}

// short drops the package's name from an error of crypto/tls.
func short(err error) string { return strings.TrimPrefix(err.Error(), "tls: ") }

// CheckCertificate says what is wrong with a certificate and its key, naming the file and what to do; nil if they can be used.
func CheckCertificate(t TLS) error {
	l := &loader{config: Config{TLS: t}}
	l.checkCertificate()
	if len(l.errors) == 0 {
		return nil
	}
	return fmt.Errorf("%s; %s", l.errors[0].Problem, l.errors[0].Fix)
}
