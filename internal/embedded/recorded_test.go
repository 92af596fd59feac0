package embedded

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// recordedExchange is one exchange with a real server, as e2e recorded it.
type recordedExchange struct {
	Server, Note string
	Request      struct {
		Method, Path string
		Body         *string
	}
	Status int
	Body   string
}

func recordings(t *testing.T, dialect Dialect) string {
	t.Helper()
	dir := filepath.Join("..", "..", "e2e", "recorded", "vllm-"+dialect.Version())
	if _, err := os.Stat(filepath.Join(dir, "exchanges.json")); err != nil {
		t.Skipf("no recording of this release: %v", err)
	}
	return dir
}

func readRecording(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What was asked of real servers is asked of the embedded one, which must give
// the same status, and the same text where it is an error.
func TestAnswersLikeTheRealServers(t *testing.T) {
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			dir := recordings(t, dialect)
			var exchanges []recordedExchange
			decode(t, readRecording(t, dir, "exchanges.json"), &exchanges)
			frontend := strings.Contains(readRecording(t, dir, "files.txt"), "async_llm")
			servers := map[string]*running{
				"profiler": serve(t, Config{Dialect: dialect, TraceDir: t.TempDir(), DevMode: true, IgnoreFrontend: !frontend}),
				"plain":    serve(t, Config{Dialect: dialect}),
			}
			replayed := 0
			for _, x := range exchanges {
				r := servers[x.Server]
				if r == nil || !replayable(x) {
					continue
				}
				replayed++
				body := ""
				if x.Request.Body != nil {
					body = *x.Request.Body
				}
				got := r.send(x.Request.Method, x.Request.Path, body)
				if got.status != x.Status {
					t.Errorf("%s: %s %s %.80s: %d %s, the real one %d %s",
						x.Note, x.Request.Method, x.Request.Path, body, got.status, got.body, x.Status, x.Body)
				}
				if x.Status >= 400 && x.Status < 500 && got.body != x.Body {
					t.Errorf("%s: %s %s %.80s: %s\nthe real one %s", x.Note, x.Request.Method, x.Request.Path, body, got.body, x.Body)
				}
			}
			if replayed < 10 {
				t.Errorf("only %d exchanges were replayed", replayed)
			}
		})
	}
}

// replayable leaves out what the embedded server does not imitate: server_info's
// content, and exchanges whose answer hangs on load that is not in the recording.
func replayable(x recordedExchange) bool {
	return !strings.HasPrefix(x.Request.Path, "/server_info") || x.Status == http.StatusNotFound
}

// The routes of profiling are described as the real server describes them.
func TestDescribesProfilingLikeTheRealServers(t *testing.T) {
	type document struct {
		Paths      map[string]any
		Components struct{ Schemas map[string]any }
	}
	for _, dialect := range Dialects() {
		t.Run(string(dialect), func(t *testing.T) {
			dir := recordings(t, dialect)
			var want, got document
			decode(t, readRecording(t, dir, "openapi.json"), &want)
			decode(t, serve(t, Config{Dialect: dialect, TraceDir: t.TempDir()}).ok("GET", "/openapi.json", ""), &got)
			for _, path := range []string{"/start_profile", "/stop_profile"} {
				if !reflect.DeepEqual(got.Paths[path], want.Paths[path]) {
					t.Errorf("%s: %s\nthe real one %s", path, show(t, got.Paths[path]), show(t, want.Paths[path]))
				}
			}
			const schema = "StartProfileRequest"
			if !reflect.DeepEqual(got.Components.Schemas[schema], want.Components.Schemas[schema]) {
				t.Errorf("%s: %s\nthe real one %s", schema, show(t, got.Components.Schemas[schema]), show(t, want.Components.Schemas[schema]))
			}
		})
	}
}

func show(t *testing.T, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
