//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// misbehaviour is what becomes of a request that a fault hits.
type misbehaviour func(*faultProxy, http.ResponseWriter, *http.Request)

// What goes wrong. before: the server hears nothing of it; after: it has done it.
func drop(*faultProxy, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func dropAfter(p *faultProxy, _ http.ResponseWriter, r *http.Request) {
	p.forward(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

func answers(status int, body string) misbehaviour {
	return func(_ *faultProxy, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func answersAfter(status int, body string) misbehaviour {
	return func(p *faultProxy, w http.ResponseWriter, r *http.Request) {
		p.forward(httptest.NewRecorder(), r)
		answers(status, body)(p, w, r)
	}
}

func slow(d time.Duration) misbehaviour {
	return func(p *faultProxy, w http.ResponseWriter, r *http.Request) {
		time.Sleep(d)
		p.forward(w, r)
	}
}

// endless answers without end, until the reader has enough.
func endless(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
	chunk := bytes.Repeat([]byte("vllm:nothing 1\n"), 4096)
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// trickle answers a byte at a time.
func trickle(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000000")
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
	}
}

func bomb(_ *faultProxy, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	chunk := make([]byte, 1<<20)
	for range 2048 {
		if _, err := z.Write(chunk); err != nil {
			return
		}
	}
	_ = z.Close()
}

func redirect(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://192.0.2.1:9/elsewhere", http.StatusTemporaryRedirect)
}

// raw writes bytes of its own onto the connection.
func raw(text string, more string, times int) misbehaviour {
	return func(_ *faultProxy, w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
		for range times {
			if _, err := io.WriteString(conn, more); err != nil {
				return
			}
		}
	}
}

const garbage = "\xff\xfe\x00{\"vllm:num_requests_running\": [[[[[\x80"

// endlessHeaders answers with headers without end, until the reader has enough.
var endlessHeaders = raw("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("x", 8000)+"\r\n", 4096)
