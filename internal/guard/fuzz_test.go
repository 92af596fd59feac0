package guard

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// nowhere is the pipe to a guard that takes what is written.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }

// FuzzAnswers: whatever a process answers that should be the guard, nothing hangs,
// and nothing counts as acknowledged that was not.
func FuzzAnswers(f *testing.F) {
	f.Add("{\"id\":1}\n")
	f.Add("{\"id\":1,\"error\":\"no\"}\n{\"id\":1}\n{\"id\":0,\"exited\":\"own\",\"status\":\"killed\"}\n")
	f.Add("{\"id\":1,\"held\":{\"endpoint\":\"http://h\",\"by\":{\"pid\":-1}}}\nnot a guard")
	f.Add("{\"id\":2}\n[]\n\x00")
	f.Fuzz(func(t *testing.T, out string) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, w := io.Pipe()
		c := Connect(nowhere{}, r, func() error { return nil })
		done := make(chan error, 1)
		go func() { done <- c.Hold(ctx, Hold{Endpoint: "http://h"}) }()
		_, _ = io.WriteString(w, out) // the reading end takes all of it
		_ = w.Close()
		if err := <-done; err == nil && !strings.Contains(strings.ToLower(out), "\"id\"") && !strings.Contains(out, `\`) {
			t.Errorf("%q was taken for an acknowledgement", out)
		}
		if ctx.Err() != nil {
			t.Error("it hung")
		}
		c.reader.Wait()
	})
}

// FuzzReadLog: whatever a guard's log holds, times are those of its lines.
func FuzzReadLog(f *testing.F) {
	f.Add("2026-11-24T06:40:52.364Z stop of the profiler at http://127.0.0.1:9177: sent\n2026-11-24T06:40:53.269Z stop of the profiler at http://127.0.0.1:9177: done after 905ms\n")
	f.Add("2026-11-24T06:40:52.364Z disarming of the gate at http://h: answered after 1s: 500: x\n2026-11-24T06:40:52.364Z stop of the profiler at : ")
	f.Fuzz(func(t *testing.T, text string) {
		for endpoint, s := range ReadLog(strings.NewReader(text)) {
			if s.Done == s.Answered.IsZero() && s.Answered.Year() != 1 {
				t.Errorf("%s: %+v", endpoint, s)
			}
		}
	})
}
