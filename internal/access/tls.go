package access

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// TLS names the files by which a server and its client know each other. The zero
// value is what the system trusts, and no client certificate. Files are absolute
// paths of PEM files.
type TLS struct {
	CA         string `json:"ca,omitempty"`          // whom to trust, instead of the system's own
	Cert       string `json:"cert,omitempty"`        // the client's certificate, and those between it and the server's CA
	Key        string `json:"key,omitempty"`         // its private key; Cert and Key come together
	ServerName string `json:"server_name,omitempty"` // that the server's certificate is for; empty: the endpoint's host

	kept *tls.Config // what the files held before; nil: nothing is known of it
}

// Kept is the same with what the files hold now, which Config gives where they
// cannot be read any more: a stop must arrive, whatever has become of them.
func (t TLS) Kept() (TLS, error) {
	c, err := t.Config()
	if err != nil {
		return TLS{}, err
	}
	t.kept = c
	return t, nil
}

// maxPEM bounds a PEM file, in bytes: a system's whole bundle of CAs has 250 kB.
const maxPEM = 4 << 20

// Config reads the files, so that those that were renewed count. It is nil for the
// zero value. Errors name the file and what is wrong with it, and repeat nothing of it.
func (t TLS) Config() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	c, err := t.read()
	if err != nil && t.kept != nil {
		return t.kept.Clone(), nil
	}
	return c, err
}

func (t TLS) read() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		authorities, err := certificates("ca", t.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		for _, a := range authorities {
			c.RootCAs.AddCert(a)
		}
	}
	if t.Cert == "" && t.Key == "" {
		return c, nil
	}
	pair, err := t.pair()
	if err != nil {
		return nil, err
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// pair is the client's certificate with its key.
func (t TLS) pair() (tls.Certificate, error) {
	if _, err := certificates("cert", t.Cert); err != nil {
		return tls.Certificate{}, err
	}
	cert, err := read("cert", t.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := read("key", t.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := isKey(key); err != nil {
		return tls.Certificate{}, fmt.Errorf("tls key %s: %w", t.Key, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("tls key %s does not fit cert %s: %w", t.Key, t.Cert, err)
	}
	return pair, nil
}

// Expired tells of each certificate that is not valid at a time. A file that cannot
// be read is for Config to report.
func (t TLS) Expired(now time.Time) []string {
	var all []string
	for what, path := range map[string]string{"ca": t.CA, "cert": t.Cert} {
		if path == "" {
			continue
		}
		found, err := certificates(what, path)
		if err != nil {
			continue
		}
		if what == "cert" {
			found = found[:1] // what follows it is the server's to judge
		}
		valid := 0
		var why string
		for _, c := range found {
			switch {
			case now.Before(c.NotBefore):
				why = "is valid only from " + c.NotBefore.UTC().Format(time.RFC3339) + " on"
			case now.After(c.NotAfter):
				why = "has expired on " + c.NotAfter.UTC().Format(time.RFC3339)
			default:
				valid++
			}
		}
		if valid == 0 { // of a bundle of authorities, one may do
			all = append(all, fmt.Sprintf("tls %s %s %s", what, path, why))
		}
	}
	if len(all) == 2 && all[0] > all[1] {
		all[0], all[1] = all[1], all[0]
	}
	return all
}

// certificates reads every certificate of a PEM file, one at least.
func certificates(what, path string) ([]*x509.Certificate, error) {
	data, err := read(what, path)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("tls %s %s: %w", what, path, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("tls %s %s: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", what, path)
	}
	return all, nil
}

// isKey tells what is wrong with the PEM form of a private key.
func isKey(data []byte) error {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
			return errors.New("the private key is encrypted: profjob asks for no passphrase, so give it one that is not")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil
		}
	}
	return errors.New("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
}

// read reads a PEM file, which must be a regular one: a pipe could keep it for ever.
func read(what, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tls %s: %w", what, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("tls %s %s: is no file", what, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tls %s: %w", what, err)
	}
	defer f.Close() // it is only read
	data, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err != nil {
		return nil, fmt.Errorf("tls %s: %w", what, err)
	}
	if len(data) > maxPEM {
		return nil, fmt.Errorf("tls %s %s: is larger than the limit of %d bytes", what, path, maxPEM)
	}
	return data, nil
}
