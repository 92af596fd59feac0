package load

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"profjob/internal/access"
	"profjob/internal/access/accesstest"
)

// records runs a load of one request to its end.
func records(t *testing.T, endpoint string, shown access.Access) []Record {
	t.Helper()
	config := validConfig()
	config.Endpoints, config.Access, config.Requests, config.Concurrency = []string{endpoint}, shown, 1, 1
	var all []Record
	run, err := Start(t.Context(), config, func(r Record) { all = append(all, r) })
	if err != nil {
		t.Fatal(err)
	}
	<-run.Done()
	return all
}

// TestAccess: a load goes through TLS with a certificate of its own, and shows the key.
func TestAccess(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n"))
	}))
	defer server.Close()
	want := access.Access{Bearer: "geheim-token", Keys: []access.Key{{Header: "X-Api-Key", Value: "geheim-key"}}}
	front, pki := accesstest.Guard(t, server.URL, want)
	shown := want
	shown.TLS = pki.TLS()
	if got := records(t, front, shown); len(got) != 1 || got[0].Error != "" {
		t.Errorf("records %+v", got)
	}
	shown.Keys = []access.Key{{Header: "X-Api-Key", Value: "geheim-wrong"}}
	if got := records(t, front, shown); len(got) != 1 || got[0].Status != 401 || strings.Contains(got[0].Error, "geheim-") {
		t.Errorf("with a wrong key: %+v", got)
	}
	shown.TLS.Key = pki.Path("other.key")
	config := validConfig()
	config.Access = shown
	if _, err := Start(t.Context(), config, func(Record) {}); err == nil || !strings.Contains(err.Error(), "does not fit cert") {
		t.Errorf("a key that does not fit: %v", err)
	}
}

// TestNothingGoesElsewhere: a redirect to another port or host gets nothing.
func TestNothingGoesElsewhere(t *testing.T) {
	var stolen atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Store(true) }))
	defer elsewhere.Close()
	https := strings.Replace(elsewhere.URL, "http:", "https:", 1)
	for _, to := range []string{elsewhere.URL, https, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)} {
		for _, status := range []int{301, 302, 307, 308} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, status) }))
			got := records(t, server.URL, access.Access{Bearer: "t", Keys: []access.Key{{Header: "X-Api-Key", Value: "k"}}})
			server.Close()
			if len(got) != 1 || got[0].Error == "" {
				t.Errorf("%d to %s: %+v", status, to, got)
			}
		}
	}
	if stolen.Load() {
		t.Error("a request went elsewhere")
	}
}
