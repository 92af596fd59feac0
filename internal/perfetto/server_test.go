package perfetto

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

const content = `{"traceEvents": []}`

// patience bounds every wait.
const patience = 30 * time.Second

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zstded(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

// serving serves a file; what Serve gives comes from the channel.
func serving(t *testing.T, ctx context.Context, path string, timeout time.Duration) (*Server, chan error) {
	t.Helper()
	s, err := Listen(path, UI, 0)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, timeout) }()
	return s, ended
}

// ask sends a request on a connection of its own and gives the answer with its body.
func ask(t *testing.T, method, url string, change func(*http.Request)) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	if change != nil {
		change(r)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// ends waits for the end of Serve.
func ends(t *testing.T, ended chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		t.Fatal("it still serves")
		return nil
	}
}

func TestFetched(t *testing.T) {
	for _, c := range []struct {
		name, url string
		data      []byte
		want      string
	}{
		{"a b;#?.pt.trace.json", "/a-b-.pt.trace.json", []byte(content), content},
		{"rank0.json.gz", "/rank0.json.gz", []byte{0x1f, 0x8b, 8}, "\x1f\x8b\x08"}, // the UI unpacks it
		{"rank0.json.zst", "/rank0.json", zstded(t, []byte(content)), content},
		{"empty.json", "/empty.json", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ended := serving(t, t.Context(), write(t, c.name, c.data), patience)
			if !strings.HasSuffix(s.URL(), c.url) || s.Link() != "https://ui.perfetto.dev/#!/?url="+s.URL() {
				t.Errorf("it is at %s, the link is %s", s.URL(), s.Link())
			}
			response, body, err := ask(t, "GET", s.URL(), header("Origin", UI))
			if err != nil || response.StatusCode != http.StatusOK || body != c.want {
				t.Fatalf("%v, %v: %q", response, err, body)
			}
			if got := response.Header.Get("Access-Control-Allow-Origin"); got != UI {
				t.Errorf("it is for the origin %q", got)
			}
			if response.Header.Get("Content-Encoding") != "" {
				t.Error("the browser would unpack it")
			}
			if err := ends(t, ended); err != nil {
				t.Error(err)
			}
			if _, _, err := ask(t, "GET", s.URL(), nil); err == nil {
				t.Error("it can be fetched again")
			}
		})
	}
}

// TestNotFetched: whatever is not the whole trace, asked for by the UI, does not end it.
func TestNotFetched(t *testing.T) {
	s, ended := serving(t, t.Context(), write(t, "a.json", []byte(content)), patience)
	base := strings.TrimSuffix(s.URL(), s.path)
	for _, c := range []struct {
		what, method, url string
		change            func(*http.Request)
		status            int
		body              string
	}{
		{"the head", "HEAD", s.URL(), nil, http.StatusOK, ""},
		{"a part", "GET", s.URL(), header("Range", "bytes=0-0"), http.StatusPartialContent, "{"},
		{"all as a part", "GET", s.URL(), header("Range", "bytes=0-"), http.StatusPartialContent, content},
		{"a preflight", "OPTIONS", s.URL(), header("Origin", UI), http.StatusNoContent, ""},
		{"without the token", "GET", base + "/a.json", nil, http.StatusNotFound, ""},
		{"another token", "GET", base + "/" + strings.Repeat("0", 32) + "/a.json", nil, http.StatusNotFound, ""},
		{"the root", "GET", base + "/", nil, http.StatusNotFound, ""},
		{"another origin", "GET", s.URL(), header("Origin", "https://example.com"), http.StatusForbidden, ""},
		{"a name that leads here", "GET", s.URL(), func(r *http.Request) { r.Host = "rebound.example:9001" }, http.StatusForbidden, ""},
		{"a post", "POST", s.URL(), nil, http.StatusMethodNotAllowed, ""},
	} {
		response, body, err := ask(t, c.method, c.url, c.change)
		if err != nil || response.StatusCode != c.status || c.status < 300 && body != c.body || strings.Contains(body, "traceEvents") && c.status >= 300 {
			t.Errorf("%s: %v, %v: %q", c.what, response, err, body)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("it has ended: %v", err)
	default:
	}
	if _, _, err := ask(t, "GET", s.URL(), nil); err != nil {
		t.Error(err)
	}
	if err := ends(t, ended); err != nil {
		t.Error(err)
	}
}

// TestPreflight: Chrome asks whether a public page may read from the loopback.
func TestPreflight(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, ended := serving(t, ctx, write(t, "a.json", []byte(content)), patience)
	for _, private := range []string{"", "true"} {
		response, _, err := ask(t, "OPTIONS", s.URL(), func(r *http.Request) {
			r.Header.Set("Origin", UI)
			r.Header.Set("Access-Control-Request-Method", "GET")
			if private != "" {
				r.Header.Set("Access-Control-Request-Private-Network", private)
			}
		})
		if err != nil || response.Header.Get("Access-Control-Allow-Origin") != UI ||
			response.Header.Get("Access-Control-Allow-Private-Network") != private || !strings.Contains(response.Header.Get("Access-Control-Allow-Methods"), "GET") {
			t.Errorf("private %q: %v, %v", private, response, err)
		}
	}
	cancel()
	if err := ends(t, ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestDamagedZstd: what is cut off in the middle is not taken for the whole.
func TestDamagedZstd(t *testing.T) {
	packed := zstded(t, bytes.Repeat([]byte(content), 1<<16))
	ctx, cancel := context.WithCancel(t.Context())
	s, ended := serving(t, ctx, write(t, "a.json.zst", packed[:len(packed)/2]), patience)
	if _, _, err := ask(t, "GET", s.URL(), nil); err == nil {
		t.Error("the browser takes it for whole")
	}
	cancel()
	if err := ends(t, ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTimeout(t *testing.T) {
	_, ended := serving(t, t.Context(), write(t, "a.json", []byte(content)), time.Millisecond)
	if err := ends(t, ended); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
}

func TestGone(t *testing.T) {
	path := write(t, "a.json", []byte(content))
	ctx, cancel := context.WithCancel(t.Context())
	s, ended := serving(t, ctx, path, patience)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if response, _, err := ask(t, "GET", s.URL(), nil); err != nil || response.StatusCode != http.StatusGone {
		t.Errorf("%v, %v", response, err)
	}
	cancel()
	if err := ends(t, ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestListenFails(t *testing.T) {
	path := write(t, "a.json", []byte(content))
	s, err := Listen(path, UI, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, port, _ := strings.Cut(s.listener.Addr().String(), ":")
	taken := 0
	for _, digit := range port {
		taken = taken*10 + int(digit-'0')
	}
	if _, err := Listen(path, UI, taken); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := Listen(path+"x", UI, 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Listen(filepath.Dir(path), UI, 0); err == nil {
		t.Error("a folder is served")
	}
	pipe := filepath.Join(t.TempDir(), "pipe.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(pipe, UI, 0); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
}

func TestTokensDiffer(t *testing.T) {
	path := write(t, "a.json", []byte(content))
	seen := map[string]bool{}
	for range 3 {
		s, err := Listen(path, UI, 0)
		if err != nil {
			t.Fatal(err)
		}
		seen[s.path] = true
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
}
