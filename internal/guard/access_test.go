package guard_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"profjob/internal/access"
	"profjob/internal/access/accesstest"
	"profjob/internal/guard"
	"profjob/internal/guard/guardtest"
)

// TestStopByTLS: a stop gets through TLS with a token and a key, also where the
// files of the certificate are gone by then.
func TestStopByTLS(t *testing.T) {
	endpoint, stops := vllm(t, 200)
	shown := access.Access{Bearer: "guarded-token", Keys: []access.Key{{Header: "X-Api-Key", Value: "guarded-key"}}}
	front, pki := accesstest.Guard(t, endpoint, shown)
	shown.TLS = pki.TLS()
	log := &logged{}
	g := guardtest.InProcess(guard.Options{LockDir: t.TempDir(), Log: log})
	h := hold(front)
	h.Access = shown
	must(t, g.Hold(t.Context(), h))
	must(t, g.Begun(t.Context(), h))
	must(t, os.Remove(pki.TLS().Key))
	must(t, g.Abandon(t.Context()))
	if stops() != 1 || !strings.Contains(log.String(), "done after") || strings.Contains(log.String(), "guarded-") {
		t.Errorf("%d stops; the log:\n%s", stops(), log)
	}
}

// TestHoldRefused: what could not be stopped is not begun.
func TestHoldRefused(t *testing.T) {
	g := guardtest.InProcess(guard.Options{LockDir: t.TempDir(), Log: &logged{}})
	h := hold("https://127.0.0.1:1")
	h.Access.TLS.CA = "/none/ca.pem"
	if err := g.Hold(t.Context(), h); err == nil || !strings.Contains(err.Error(), "tls ca: stat /none/ca.pem") {
		t.Errorf("the guard took it: %v", err)
	}
	must(t, g.Abandon(context.Background()))
}

// TestStopIsNotRedirected: nothing goes elsewhere from the guard either.
func TestStopIsNotRedirected(t *testing.T) {
	var stolen atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Store(true) }))
	defer elsewhere.Close()
	astray := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusPermanentRedirect)
	}))
	defer astray.Close()
	for _, session := range []string{"", "s"} {
		log := &logged{}
		g := guardtest.InProcess(guard.Options{LockDir: t.TempDir(), Log: log})
		h := hold(astray.URL)
		h.Access, h.Session, h.Secret = access.Access{Bearer: "guarded-token", Keys: []access.Key{{Header: "X-Api-Key", Value: "guarded-key"}}}, session, "guarded-secret"
		must(t, g.Hold(t.Context(), h))
		must(t, g.Begun(t.Context(), h))
		must(t, g.Abandon(t.Context()))
		if !strings.Contains(log.String(), "not followed") || strings.Contains(log.String(), "guarded-") {
			t.Errorf("the log:\n%s", log)
		}
	}
	if stolen.Load() {
		t.Error("a request went elsewhere")
	}
}
