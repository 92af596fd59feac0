package gate

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"profjob/internal/access"
	"profjob/internal/access/accesstest"
)

// TestBehindGateway: the gate's secret and what a gateway wants do not get in each
// other's way.
func TestBehindGateway(t *testing.T) {
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		answer(200, `{"protocol":1,"gate":"1","workers":[]}`)(w, r)
	}))
	defer server.Close()
	want := access.Access{Bearer: "for-the-gateway", Keys: []access.Key{{Header: "X-Api-Key", Value: "key"}}}
	front, pki := accesstest.Guard(t, server.URL, want)
	for name, shown := range map[string]access.Access{"both": {Bearer: want.Bearer, Keys: want.Keys, TLS: pki.TLS()}} {
		c, err := NewFor(front, "of-the-gate", shown)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Hello(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if header.Get(SecretHeader) != "of-the-gate" || header.Get("Authorization") != "" {
			t.Errorf("%s: the gate was sent %v", name, header)
		}
	}
	c, err := NewFor(server.URL, "of-the-gate", access.Access{Keys: want.Keys})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello(t.Context()); err != nil || header.Get("Authorization") != "Bearer of-the-gate" || header.Get("X-Api-Key") != "key" {
		t.Errorf("without a token: %v, %v", header, err)
	}
}

// TestRedirects: neither the gate's secret nor a key goes elsewhere.
func TestRedirects(t *testing.T) {
	var stolen atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Store(true) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}))
		c, err := NewFor(server.URL, "of-the-gate", access.Access{Bearer: "token", Keys: []access.Key{{Header: "X-Api-Key", Value: "key"}}})
		if err != nil {
			t.Fatal(err)
		}
		_, helloErr := c.Hello(t.Context())
		_, armErr := c.Arm(t.Context(), ArmRequest{Session: "s", Lease: time.Second})
		_, fileErr := c.Range(t.Context(), "s", "f", 0, 1)
		_, endErr := c.Disarm(t.Context(), "s")
		server.Close()
		for i, err := range []error{helloErr, armErr, fileErr, c.Delete(t.Context(), "s", "f"), endErr} {
			if err == nil {
				t.Errorf("%d: request %d was answered", status, i)
			}
		}
	}
	if stolen.Load() {
		t.Error("a request went elsewhere")
	}
}
