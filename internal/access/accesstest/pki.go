// Package accesstest has what tests need of servers that know whom they speak to:
// a CA, certificates that it made, and fronts that ask for them.
package accesstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"profjob/internal/access"
)

// PKI is a CA of its own with its files: ca.pem, client.pem and client.key, and
// other.key, which fits no certificate.
type PKI struct {
	dir  string
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// New makes a CA and writes the files of a client that it vouches for from now on
// for an hour.
func New(dir string) (*PKI, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of a test"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	p := &PKI{dir: dir, ca: ca, key: key, pool: x509.NewCertPool()}
	p.pool.AddCert(ca)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return p, errors.Join(write(p.Path("ca.pem"), "CERTIFICATE", der),
		p.Client("client", time.Now().Add(-time.Hour), time.Now().Add(time.Hour)), writeKey(p.Path("other.key"), other))
}

// Path is a file of the folder.
func (p *PKI) Path(name string) string { return filepath.Join(p.dir, name) }

// TLS is what a client needs that the CA vouches for.
func (p *PKI) TLS() access.TLS {
	return access.TLS{CA: p.Path("ca.pem"), Cert: p.Path("client.pem"), Key: p.Path("client.key")}
}

// Client writes NAME.pem and NAME.key of a client whose certificate is valid between two times.
func (p *PKI) Client(name string, from, until time.Time) error {
	der, key, err := p.issue(&x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return err
	}
	return errors.Join(write(p.Path(name+".pem"), "CERTIFICATE", der), writeKey(p.Path(name+".key"), key))
}

// Server is the side of a server at 127.0.0.1 that speaks to clients of the CA only.
func (p *PKI) Server() (*tls.Config, error) {
	der, key, err := p.issue(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"},
		NotBefore: p.ca.NotBefore, NotAfter: p.ca.NotAfter, DNSNames: []string{"engine.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: p.pool, MinVersion: tls.VersionTLS12}, nil
}

func (p *PKI) issue(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, p.ca, key.Public(), p.key)
	return der, key, err
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return write(path, "PRIVATE KEY", der)
}

func write(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
