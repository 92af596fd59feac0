package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cret"

func client(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client's side is tested
	}
}

func TestArmSays(t *testing.T) {
	var method, path, auth string
	var body map[string]any
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		method, path, auth = r.Method, r.URL.Path, r.Header.Get("Authorization")
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		answer(200, `{"protocol":1,"session":"s","state":"armed","workers":[{"core":1,"rank":2,"state":"armed","begin":7,"error":null}]}`)(w, r)
	})
	got, err := c.Arm(t.Context(), ArmRequest{
		Session: "s", Prefix: "p", Record: Record{Stack: true}, Activities: []string{"cpu"}, Lease: 1500 * time.Millisecond,
		Window: Window{Steps: 5, AtMost: 9, Phase: Decode, All: true, SkipRequests: 2, Delay: 3},
		Limits: Limits{Steps: 6, Duration: time.Minute, Bytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	if method != "POST" || path != "/profjob/gate/arm" || auth != "Bearer "+secret {
		t.Errorf("%s %s with %q", method, path, auth)
	}
	want := map[string]any{
		"protocol": 1.0, "session": "s", "prefix": "p", "lease_s": 1.5, "activities": []any{"cpu"},
		"record": map[string]any{"shapes": false, "memory": false, "stack": true, "flops": false},
		"window": map[string]any{"steps": 5.0, "threshold": 1.0, "at_most": 9.0, "phase": "decode", "all": true, "skip_requests": 2.0, "delay": 3.0},
		"limits": map[string]any{"max_steps": 6.0, "max_seconds": 60.0, "max_bytes": 1048576.0},
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Error(diff)
	}
	if w := got.Workers[0]; got.State != Armed || w.Core != 1 || w.Rank != 2 || w.Begin != 7 || w.Error != "" {
		t.Errorf("got %+v", got)
	}
}

func TestRefusals(t *testing.T) {
	const gate = `{"error":{"code":%q,"message":"why s3cret","field":%q,"workers":[{"core":0,"rank":0,"error":"a"},{"core":1,"rank":3,"error":"b"}]}}`
	for _, c := range []struct {
		name    string
		status  int
		body    string
		want    error
		nothing bool // whether it proves that nothing is armed
	}{
		{"absent", 404, `{"detail":"Not Found"}`, ErrAbsent, true},
		{"absent, another server", 405, `nope`, ErrAbsent, true},
		{"secret", 401, fmt.Sprintf(gate, "unauthorized", ""), ErrSecret, true},
		{"busy", 409, fmt.Sprintf(gate, "busy", ""), ErrBusy, true},
		{"field", 400, fmt.Sprintf(gate, "bad_request", "window.steps"), ErrRequest, true},
		{"protocol", 400, fmt.Sprintf(gate, "bad_request", "protocol"), ErrProtocol, true},
		{"session", 404, fmt.Sprintf(gate, "not_found", ""), ErrSession, false},
		{"worker", 500, fmt.Sprintf(gate, "worker", ""), ErrServer, false},
		{"engine", 503, fmt.Sprintf(gate, "engine", ""), ErrServer, false},
		{"no JSON", 500, "Internal Server Error", ErrServer, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := client(t, answer(c.status, c.body)).Arm(t.Context(), ArmRequest{})
			if !errors.Is(err, c.want) || NothingArmed(err) != c.nothing {
				t.Errorf("got %v, nothing armed %t", err, NothingArmed(err))
			}
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("the secret is in the error: %v", err)
			}
			var e *Error
			if strings.Contains(c.body, "workers") && (!errors.As(err, &e) || len(e.Workers) != 2 || !strings.Contains(e.Error(), "core 1 rank 3: b")) {
				t.Errorf("workers are missing: %v", err)
			}
		})
	}
}

func TestHello(t *testing.T) {
	for _, c := range []struct {
		name, kind, body string
		want             error
	}{
		{"spoken", "application/json", `{"gate":"1.0.0","protocol":1,"vllm":"0.32.0"}`, nil},
		{"another protocol", "application/json", `{"gate":"9","protocol":9}`, ErrProtocol},
		{"a page", "text/html", `<html>`, ErrAbsent},
		{"half", "application/json", `{"gate":`, engine.ErrNotServer},
	} {
		got, err := client(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			_, _ = io.WriteString(w, c.body) // the client's side is tested
		}).Hello(t.Context())
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if c.want == nil && got.VLLM != "0.32.0" {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
	c, err := New("http://127.0.0.1:1", secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello(t.Context()); !errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if _, err := New("http://127.0.0.1:1", "", nil); err == nil {
		t.Error("a client without a secret")
	}
}

// files serves ranges of one file, as the plugin does.
func files(t *testing.T, data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("name") != "a/b c" || r.URL.Query().Get("session") != "s" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		r.Header.Set("Range", r.URL.Query().Get("range"))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

func TestFile(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), chunk/16+5)
	sum := sha256.Sum256(data)
	f := File{Name: "a/b c", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	var got bytes.Buffer
	if err := client(t, files(t, data)).File(t.Context(), "s", f, &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Error("other bytes came")
	}

	changed := bytes.Clone(data)
	changed[len(data)-1]++
	if err := client(t, files(t, changed)).File(t.Context(), "s", f, io.Discard); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("changed: got %v", err)
	}
	if err := client(t, files(t, data[:len(data)-1])).File(t.Context(), "s", f, io.Discard); err == nil {
		t.Error("a file that is too short")
	}
	whole := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) } // the client's side is tested
	if _, err := client(t, whole).Range(t.Context(), "s", f.Name, 3, int64(len(data))); err == nil || !strings.Contains(err.Error(), "status 200") {
		t.Errorf("no range: got %v", err)
	}
	if err := client(t, answer(404, `{"error":{"code":"not_found","message":"no"}}`)).File(t.Context(), "s", f, io.Discard); !errors.Is(err, ErrSession) {
		t.Errorf("got %v", err)
	}
}

func TestContext(t *testing.T) {
	c := client(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx, "s"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]Text{`null`: "", `"a\nb"`: "a b", `{"code":"x","message":"m"}`: "m", `{}`: ""} {
		var got Text
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"state":"armed","workers":[{"core":1,"error":{"message":"m"},"steps":[{"pass":1}],"cost":{"stop_s":0.1}}]}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var s Status
		_ = json.Unmarshal(data, &s) // whatever comes must not panic
	})
}

// FuzzRefusal: whatever a server answers with whatever status, the error has one
// printable line of it.
func FuzzRefusal(f *testing.F) {
	f.Add(404, []byte(`{"detail":"Not Found"}`))
	f.Add(409, []byte(`{"error":{"code":"busy","message":"a\u001b[31m","field":"x","workers":[{"core":-1,"rank":1,"error":"y"},{"error":{"message":"\n"}}]}}`))
	f.Add(500, []byte("\xff\x00<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := refusal(&exchange.Answer{Op: "ask", URL: "http://h", Status: status, Body: body}, []string{"s3cret-s3cret"})
		text := err.Error()
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || strings.Contains(text, "s3cret-s3cret") {
			t.Errorf("%d %q became %q", status, body, text)
		}
	})
}
