package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"waybill/internal/config"
)

// MakeCertificate makes the self-signed certificate of a configuration that names no other, if it is not there yet.
func MakeCertificate(c config.Config) error {
	if c.TLS.Cert != "" {
		return nil
	}
	_, err := selfSigned(c)
	return err
}

// selfSigned names the self-signed certificate in data, which is made at the first start.
func selfSigned(c config.Config) (config.TLS, error) {
	names := selfSignedFiles()
	files := config.TLS{Cert: filepath.Join(c.Data, names[0]), Key: filepath.Join(c.Data, names[1])}
	if _, err := os.Stat(files.Cert); !errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	if err := writeSelfSigned(c.Hostname, files.Cert, files.Key); err != nil {
		return files, fmt.Errorf("make a self-signed certificate: %w", err)
	}
	return files, nil
}

// selfSignedFiles are the names of the certificate and of its key in the data directory.
func selfSignedFiles() [2]string { return [2]string{"self-signed-cert.pem", "self-signed-key.pem"} }

const selfSignedLife = 10 * 365 * 24 * time.Hour

// writeSelfSigned writes the key first, so that a certificate never stands there without its key.
func writeSelfSigned(hostname, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: hostname}, DNSNames: []string{hostname},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(keyFile, "PRIVATE KEY", keyDER, 0o600); err != nil {
		return err
	}
	return writePEM(certFile, "CERTIFICATE", cert, 0o644)
}

// writePEM writes a file whole or not at all.
func writePEM(file, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
