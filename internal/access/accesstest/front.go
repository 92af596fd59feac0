package accesstest

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"

	"profjob/internal/access"
)

// Guard puts a front before a target for as long as a test takes, and gives where
// it is and the CA that vouches for it.
func Guard(t testing.TB, target string, want access.Access) (endpoint string, pki *PKI) {
	t.Helper()
	pki, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	front, err := pki.Front(target, want)
	if err != nil {
		t.Fatal(err)
	}
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.URL, pki
}

// Front makes an HTTPS server, to be started with StartTLS, that lets through to target who has a certificate of
// the CA and shows all of want; of the rest it repeats what they have sent. What it
// has let through it does not pass on.
func (p *PKI) Front(target string, want access.Access) (*httptest.Server, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	config, err := p.Server()
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.FlushInterval = -1 // streams, as they come
	shown := http.Header{}
	want.Show(shown)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, header := range slices.Sorted(maps.Keys(shown)) {
			if got := r.Header.Get(header); got != shown.Get(header) {
				http.Error(w, fmt.Sprintf("%s is %q", header, got), http.StatusUnauthorized)
				return
			}
		}
		for header := range shown {
			r.Header.Del(header)
		}
		proxy.ServeHTTP(w, r)
	}))
	front.TLS = config
	return front, nil
}
