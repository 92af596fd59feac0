package steps

import (
	"path/filepath"

	"profjob/internal/access"
	"profjob/spec"
)

// APIKey is a key that a target's server, or a gateway before it, wants in a header.
type APIKey struct {
	Header string      `json:"header"`
	Key    spec.Secret `json:"key"`
}

// TLSParams are the files of a target's tls block, relative to the job file or
// absolute. The plan has their paths, and its digest covers these and not what is in
// them: a certificate that was renewed makes no other plan.
type TLSParams struct {
	CA         string `json:"ca,omitempty"`
	Cert       string `json:"cert,omitempty"`
	Key        string `json:"key,omitempty"`
	ServerName string `json:"server_name,omitempty"`
}

// AccessOf gives what the servers of a target are shown: the values of its sensitive
// ones come from secret, and paths are relative to dir. It reads no file.
func AccessOf(t Target, dir string, secret func(*spec.Secret) (string, error)) (access.Access, error) {
	var a access.Access
	var err error
	if a.Bearer, err = secret(t.Bearer); err != nil {
		return access.Access{}, err
	}
	if t.APIKey != nil {
		value, err := secret(&t.APIKey.Key)
		if err != nil {
			return access.Access{}, err
		}
		a = a.With(access.Key{Header: t.APIKey.Header, Value: value})
	}
	if t.TLS != nil {
		a.TLS = t.TLS.in(dir)
	}
	return a, nil
}

// in gives the files below a directory.
func (p *TLSParams) in(dir string) access.TLS {
	file := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	return access.TLS{CA: file(p.CA), Cert: file(p.Cert), Key: file(p.Key), ServerName: p.ServerName}
}

// access gives what the servers of a target are shown.
func (r *Run) access(t Target) (access.Access, error) { return AccessOf(t, r.JobDir, r.secret) }

// expired tells of certificates of a target that are not valid now.
func (r *Run) expired(t Target) []string {
	if t.TLS == nil {
		return nil
	}
	return t.TLS.in(r.JobDir).Expired(r.Clock.Now())
}
