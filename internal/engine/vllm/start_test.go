package vllm

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"profjob/internal/engine"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Who asks for a start says how long its answer is waited for, nobody else.
func TestStartHasNoTimeoutOfItsOwn(t *testing.T) {
	asked := false
	client, err := New(engine.Config{Endpoint: "http://server:8000", HTTP: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = true
		if at, ok := r.Context().Deadline(); ok {
			t.Errorf("%s ends at %s", r.URL, at)
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
	})}})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(t.Context(), engine.StartOptions{}); err != nil || !asked {
		t.Errorf("asked %t: %v", asked, err)
	}
}
