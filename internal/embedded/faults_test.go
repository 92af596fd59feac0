package embedded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func TestStartFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults Faults
		status int
	}{
		{"status", Faults{StartStatus: 500}, 500},
		{"ignored", Faults{StartIgnored: true}, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			r := serve(t, Config{Dialect: V011, TraceDir: dir, Faults: tc.faults})
			if got := r.send("POST", "/start_profile", ""); got.status != tc.status {
				t.Errorf("start: %d %s, want %d", got.status, got.body, tc.status)
			}
			r.complete(3, 3)
			if got := r.send("POST", "/stop_profile", ""); got.status != 500 {
				t.Errorf("stop: %d, want 500: nothing was started", got.status)
			}
			if found := files(t, dir, "*"); len(found) > 0 {
				t.Errorf("files %q", found)
			}
		})
	}
}

// The server that looked alive and dies at its first pass.
func TestDeath(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults Faults
	}{
		{"at the first step", Faults{DieAtFirstStep: true}},
		{"after a start", Faults{DieAfterStart: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			exits := make(chan int, 1)
			tc.faults.Exit = func(status int) { exits <- status }
			dir := t.TempDir()
			r := serve(t, Config{TraceDir: dir, Faults: tc.faults})
			if tc.faults.DieAfterStart {
				r.complete(3, 3)
			}
			r.ok("GET", "/health", "")
			r.ok("POST", "/start_profile", "")
			got, err := r.do(t.Context(), "POST", "/v1/completions", `{"prompt":"x"}`)
			if err == nil && got.status != 500 {
				t.Errorf("the request was answered with %d %s", got.status, got.body)
			}
			<-r.ended
			if !errors.Is(r.err, ErrDied) {
				t.Errorf("Serve ended with %v, want ErrDied", r.err)
			}
			if status := <-exits; status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			if _, err := r.do(t.Context(), "GET", "/health", ""); err == nil {
				t.Error("the server still answers")
			}
			if found := files(t, dir, "rank0.*"); len(found) > 0 {
				t.Errorf("files %q of a recording that died", found)
			}
		})
	}
}

func TestStreamEndsWithAnErrorWhenTheEngineDies(t *testing.T) {
	r := serve(t, Config{TraceDir: t.TempDir(), Faults: Faults{DieAfterStart: true}, StepFloor: time.Millisecond})
	answered := make(chan reply, 1)
	go func() {
		got, _ := r.do(context.Background(), "POST", "/v1/completions", `{"prompt":"x","max_tokens":2000,"ignore_eos":true,"stream":true}`)
		answered <- got
	}()
	wait(t, "the request to run", func() bool { return r.metric("vllm:num_requests_running") == 1 })
	r.ok("POST", "/start_profile", "")
	data := events(t, (<-answered).body)
	var last struct{ Error apiError }
	decode(t, data[len(data)-2], &last)
	if last.Error.Code != 500 || data[len(data)-1] != "[DONE]" {
		t.Errorf("the stream ends with %q", data[len(data)-2:])
	}
}

func TestStopDelayFreezesTheEngine(t *testing.T) {
	const delay = 150 * time.Millisecond
	r := serve(t, Config{TraceDir: t.TempDir(), Faults: Faults{StopDelay: delay}})
	r.ok("POST", "/start_profile", "")
	began := time.Now()
	r.ok("POST", "/stop_profile", "")
	if took := time.Since(began); took < delay {
		t.Errorf("the stop took %s, want at least %s", took, delay)
	}
}

func TestStopThatDropsItsConnectionStopsAllTheSame(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, Config{TraceDir: dir, IgnoreFrontend: true, Faults: Faults{StopDrop: true}})
	r.ok("POST", "/start_profile", "")
	r.complete(3, 3)
	if got, err := r.do(t.Context(), "POST", "/stop_profile", ""); err == nil {
		t.Errorf("the stop was answered with %d", got.status)
	}
	wait(t, "the table, which is written last", func() bool { return len(files(t, dir, "*.txt")) == 1 })
	if n := len(workerTrace(t, dir).named("cpu_op", "aten::embedding")); n != 3 {
		t.Errorf("%d steps, want 3", n)
	}
}

// As with vLLM, a recording is lost when its server ends.
func TestShutdownLosesTheRecording(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, Config{TraceDir: dir})
	r.ok("POST", "/start_profile", "")
	r.complete(3, 3)
	r.end()
	<-r.ended
	if found := files(t, dir, "*"); r.err != nil || len(found) > 0 {
		t.Errorf("Serve ended with %v and left %q", r.err, found)
	}
}

func TestShutdownFailsRequestsInFlight(t *testing.T) {
	r := serve(t, Config{StepFloor: time.Millisecond})
	answered := make(chan reply, 1)
	go func() {
		got, _ := r.do(context.Background(), "POST", "/v1/completions", `{"prompt":"x","max_tokens":2000,"ignore_eos":true}`)
		answered <- got
	}()
	wait(t, "the request to run", func() bool { return r.metric("vllm:num_requests_running") == 1 })
	r.end()
	if got := <-answered; got.status != http.StatusInternalServerError {
		t.Errorf("the request was answered with %d %s", got.status, got.body)
	}
	<-r.ended
	if r.err != nil {
		t.Errorf("Serve ended with %v", r.err)
	}
}

// TestDeathOfTheProfiler: at a start, or half way through a trace.
func TestDeathOfTheProfiler(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults Faults
		files  int
	}{
		{"at a start", Faults{DieAtStart: true}, 0},
		{"at export", Faults{DieAtExport: true}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			exits := make(chan int, 1)
			tc.faults.Exit = func(status int) { exits <- status }
			dir := t.TempDir()
			r := serve(t, Config{TraceDir: dir, IgnoreFrontend: true, Faults: tc.faults})
			r.complete(3, 3)
			_, _ = r.do(t.Context(), "POST", "/start_profile", "") // what it answers as it dies is of no interest
			_, _ = r.do(t.Context(), "POST", "/stop_profile", "")
			<-r.ended
			if !errors.Is(r.err, ErrDied) {
				t.Errorf("Serve ended with %v, want ErrDied", r.err)
			}
			if status := <-exits; status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			found := files(t, dir, "rank0.*.json.gz")
			if len(found) != tc.files {
				t.Fatalf("files %q, want %d", found, tc.files)
			}
			for _, path := range found {
				if _, err := readGzip(path); err == nil {
					t.Errorf("%s is whole", path)
				}
			}
		})
	}
}

func readGzip(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// One of two profilers failed to start: 500, no session, and the other records.
func TestHalfAStart(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, Config{TraceDir: dir, IgnoreFrontend: true, Faults: Faults{StartHalf: true}})
	for range 2 { // no session is known of, so none is in the way
		if got := r.send("POST", "/start_profile", ""); got.status != 500 {
			t.Errorf("start: %d, want 500", got.status)
		}
	}
	r.complete(3, 3)
	r.ok("POST", "/stop_profile", "")
	if n := len(workerTrace(t, dir).named("cpu_op", "aten::embedding")); n != 3 {
		t.Errorf("%d steps, want 3", n)
	}
}

func TestStartBlocksUntilTheRecordingEnds(t *testing.T) {
	r := serve(t, Config{TraceDir: t.TempDir(), Faults: Faults{StartBlocks: true}})
	answered := make(chan reply, 1)
	go func() {
		got, _ := r.do(context.Background(), "POST", "/start_profile", "")
		answered <- got
	}()
	select {
	case got := <-answered:
		t.Fatalf("start: %d, before the recording has ended", got.status)
	case <-time.After(100 * time.Millisecond):
	}
	r.ok("POST", "/stop_profile", "")
	if got := <-answered; got.status != 200 {
		t.Errorf("start: %d, want 200", got.status)
	}
}

func TestHealthThatAddsSteps(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, Config{TraceDir: dir, IgnoreFrontend: true, Faults: Faults{HealthSteps: true}})
	r.ok("POST", "/start_profile", "")
	r.ok("GET", "/health", "")
	r.ok("POST", "/stop_profile", "")
	if n := len(workerTrace(t, dir).named("cpu_op", "aten::embedding")); n != 1 {
		t.Errorf("%d steps, want 1", n)
	}
}
