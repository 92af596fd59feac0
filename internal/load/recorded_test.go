package load

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// What real servers sent, one token a chunk. vLLM puts tokens of one request
// together while its frontend lags behind the engine, so there may be a few chunks
// less than the tokens of the usage, never more.
func TestRecordedStreams(t *testing.T) {
	files, err := filepath.Glob("../../e2e/recorded/*/*-stream.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no recorded stream under e2e/recorded")
	}
	for _, file := range files {
		t.Run(filepath.Join(filepath.Base(filepath.Dir(file)), filepath.Base(file)), func(t *testing.T) {
			stream, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for name, source := range ways(string(stream)) {
				a := new(answer)
				err := newClient(validConfig(), http.DefaultTransport).stream(source, func() {}, a)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if a.usage == nil || a.chunks > a.usage.CompletionTokens || 2*a.chunks < a.usage.CompletionTokens || !a.done || a.finish != "length" {
					t.Errorf("%s: %d token chunks, finish reason %q, done %v, usage %+v", name, a.chunks, a.finish, a.done, a.usage)
				}
				if a.usage != nil && a.usage.PromptTokens == 0 {
					t.Errorf("%s: usage %+v", name, a.usage)
				}
			}
			if !bytes.Contains(stream, []byte(`"choices":[],"usage":`)) {
				t.Error("the recording has no usage chunk")
			}
		})
	}
}
