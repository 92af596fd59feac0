package gate

import (
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	prefix  = "/profjob/gate/"
	maxBody = 64 << 10 // bytes
)

// Front is the HTTP side of a gate.
type Front struct {
	gate   *Gate
	secret []byte
	// between runs a function between two passes; an error means that the engine
	// is dead and nothing was run.
	between func(func() error) error
}

// NewFront makes the HTTP side of a gate. between runs what it is given between
// two passes, and gives its error, or one of its own where the engine is dead.
func NewFront(g *Gate, secret string, between func(func() error) error) *Front {
	return &Front{gate: g, secret: []byte(secret), between: between}
}

// Route is one operation.
type Route struct {
	Method, Path string
	Handle       http.HandlerFunc
}

// Routes are the operations of protocol 1.
func (f *Front) Routes() []Route {
	var routes []Route
	for _, r := range []struct {
		method, name string
		handle       func(http.ResponseWriter, *http.Request) (any, *refusal)
	}{
		{http.MethodGet, "hello", f.hello}, {http.MethodPost, "arm", f.arm}, {http.MethodGet, "status", f.status},
		{http.MethodPost, "renew", f.renew}, {http.MethodPost, "disarm", f.disarm},
		{http.MethodGet, "file", f.file}, {http.MethodDelete, "file", f.remove},
	} {
		handle := f.guarded(r.handle)
		routes = append(routes, Route{r.method, prefix + r.name, handle})
		if r.method == http.MethodGet { // as Starlette does
			routes = append(routes, Route{http.MethodHead, prefix + r.name, handle})
		}
	}
	return routes
}

// guarded checks the secret. A handler that gives nothing has answered itself.
func (f *Front) guarded(handle func(http.ResponseWriter, *http.Request) (any, *refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, refused := any(nil), f.check(r)
		if refused == nil {
			answer, refused = handle(w, r)
		}
		switch {
		case refused != nil:
			write(w, refused.status, refused.body())
		case answer != nil:
			write(w, http.StatusOK, answer)
		}
	}
}

func (f *Front) check(r *http.Request) *refusal {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if own := r.Header.Get("X-Profjob-Gate"); own != "" { // Authorization is for something before the server
		kind, token = "bearer", own
	}
	if !strings.EqualFold(kind, "bearer") || !hmac.Equal([]byte(strings.TrimSpace(token)), f.secret) {
		return &refusal{status: http.StatusUnauthorized, code: "unauthorized", message: "the gate's secret is missing or wrong"}
	}
	return nil
}

func write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no value here can fail; an empty body would hide it if one did
		status, body = http.StatusInternalServerError, []byte(err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone if it fails
}

// last is the last of a parameter's values, as Starlette takes it.
func last(r *http.Request, name string) string {
	all := r.URL.Query()[name]
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

func sessionOf(r *http.Request) (string, *refusal) {
	id := last(r, "session")
	if !namePattern.MatchString(id) {
		return "", bad("session", "missing or malformed")
	}
	return id, nil
}

func readBody(w http.ResponseWriter, r *http.Request) (any, *refusal) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, code: "too_large", message: fmt.Sprintf("the body has more than %d bytes", maxBody)}
	}
	if err != nil {
		return nil, bad("body", "%v", err)
	}
	v, err := decode(data)
	if err != nil {
		return nil, bad("body", "%v", err)
	}
	return v, nil
}
