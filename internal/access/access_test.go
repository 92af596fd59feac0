package access_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"profjob/internal/access"
	"profjob/internal/access/accesstest"
)

var full = access.Access{Bearer: "s3cret-bearer", Keys: []access.Key{{Header: "X-API-Key", Value: "s3cret-bearer-and-more"}}, TLS: access.TLS{CA: "/ca.pem"}}

// TestUnseen: no way of printing an access shows a secret, but for its JSON form.
func TestUnseen(t *testing.T) {
	type holder struct{ A access.Access }
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{full, &full, holder{full}, full.Keys, full.Keys[0]} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, "s3cret") {
				t.Errorf("%s of %T: %s", format, v, text)
			}
		}
	}
	if got := full.Redact("a s3cret-bearer-and-more b s3cret-bearer"); got != "a […] b […]" {
		t.Errorf("redacted: %q", got)
	}
}

func TestShow(t *testing.T) {
	h := http.Header{}
	full.With(access.Key{Header: "x-api-key", Value: "another"}).Show(h)
	if h.Get("Authorization") != "Bearer s3cret-bearer" || h.Get("X-Api-Key") != "another" {
		t.Errorf("shown: %v", h)
	}
	if full.Keys[0].Value != "s3cret-bearer-and-more" {
		t.Error("With has changed what it was made of")
	}
	data, err := json.Marshal(full)
	var again access.Access
	if err != nil || json.Unmarshal(data, &again) != nil || !again.Same(full) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestCheck(t *testing.T) {
	for name, a := range map[string]access.Access{
		"bearer": {Bearer: "s3cret\n"},
		"key":    {Keys: []access.Key{{Header: "X", Value: "s3cret x"}}},
		"header": {Keys: []access.Key{{Header: "a:b", Value: "s3cret"}}},
		"none":   {Keys: []access.Key{{Value: "s3cret"}}},
	} {
		if err := a.Check(); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := full.Check(); err != nil {
		t.Error(err)
	}
}

func pki(t *testing.T) *accesstest.PKI {
	t.Helper()
	p, err := accesstest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFiles(t *testing.T) {
	p := pki(t)
	if err := os.WriteFile(p.Path("text"), []byte("not PEM, s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Path("encrypted.key"), []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := p.TLS()
	for name, c := range map[string]struct {
		change func(*access.TLS)
		want   string
	}{
		"all good":       {func(*access.TLS) {}, ""},
		"no CA":          {func(x *access.TLS) { x.CA = p.Path("none") }, "tls ca: stat " + p.Path("none") + ": no such file"},
		"CA no PEM":      {func(x *access.TLS) { x.CA = p.Path("text") }, "text: holds no certificate in PEM form"},
		"CA a key":       {func(x *access.TLS) { x.CA = p.Path("client.key") }, "client.key: holds no certificate in PEM form"},
		"CA a directory": {func(x *access.TLS) { x.CA = p.Path("") }, "is no file"},
		"no cert":        {func(x *access.TLS) { x.Cert = p.Path("none") }, "tls cert: stat"},
		"no key":         {func(x *access.TLS) { x.Key = p.Path("none") }, "tls key: stat"},
		"key no PEM":     {func(x *access.TLS) { x.Key = p.Path("text") }, "holds no private key in PEM form"},
		"key encrypted":  {func(x *access.TLS) { x.Key = p.Path("encrypted.key") }, "the private key is encrypted"},
		"key of another": {func(x *access.TLS) { x.Key = p.Path("other.key") }, "does not fit cert"},
	} {
		asked := good
		c.change(&asked)
		_, err := asked.Config()
		if (c.want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if c, err := (access.TLS{}).Config(); c != nil || err != nil {
		t.Errorf("of nothing: %v, %v", c, err)
	}
}

// TestKept: what was read once serves where the files are gone, and not where they were renewed.
func TestKept(t *testing.T) {
	p := pki(t)
	kept, err := p.TLS().Kept()
	if err != nil {
		t.Fatal(err)
	}
	first, err := kept.Config()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Client("client", time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	renewed, err := kept.Config()
	if err != nil || string(renewed.Certificates[0].Certificate[0]) == string(first.Certificates[0].Certificate[0]) {
		t.Errorf("a renewed certificate does not count: %v", err)
	}
	if err := os.Remove(p.Path("client.key")); err != nil {
		t.Fatal(err)
	}
	left, err := kept.Config()
	if err != nil || string(left.Certificates[0].Certificate[0]) != string(first.Certificates[0].Certificate[0]) {
		t.Errorf("what was kept does not serve: %v", err)
	}
}

func TestExpired(t *testing.T) {
	p := pki(t)
	if got := p.TLS().Expired(time.Now()); len(got) > 0 {
		t.Errorf("valid: %v", got)
	}
	late := p.TLS().Expired(time.Now().Add(2 * time.Hour))
	if len(late) != 2 || !strings.Contains(late[0], "tls ca ") || !strings.Contains(late[1], "has expired on ") {
		t.Errorf("expired: %v", late)
	}
	if early := p.TLS().Expired(time.Now().Add(-2 * time.Hour)); len(early) != 2 || !strings.Contains(early[1], "is valid only from") {
		t.Errorf("not yet valid: %v", early)
	}
}
