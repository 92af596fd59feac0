package steps

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/wire"
	"profjob/spec"
)

func TestState(t *testing.T) {
	s := &State{}
	if _, ok := Latest[WarmupResult](s); ok {
		t.Error("an empty state has a result")
	}
	s.Put(at("a", 1, 1), WarmupResult{Completed: 1})
	s.Put(at("b", 1, 1), ShutdownResult{Ended: 9})
	s.Put(at("a", 1, 2), WarmupResult{Completed: 2})
	s.Put(at("a", 2, 1), WarmupResult{Completed: 3})
	if r, ok := Latest[WarmupResult](s); !ok || r.Completed != 3 {
		t.Errorf("latest %+v", r)
	}
	if r, ok := InAttempt[WarmupResult](s, at("other", 1, 2)); !ok || r.Completed != 2 {
		t.Errorf("in the attempt %+v", r)
	}
	if _, ok := InAttempt[WarmupResult](s, at("a", 3, 1)); ok {
		t.Error("a result of an attempt that never was")
	}
	if all := All[WarmupResult](s); len(all) != 3 || all[0].Place != at("a", 1, 1) {
		t.Errorf("all %+v", all)
	}
}

func TestInterrupts(t *testing.T) {
	var i Interrupts
	closed := func(n int) bool {
		select {
		case <-i.Level(n):
			return true
		default:
			return false
		}
	}
	for n := 1; n <= 5; n++ {
		if got := i.Signal(); got != n || i.Count() != n {
			t.Errorf("signal %d is number %d of %d", n, got, i.Count())
		}
		for level := 1; level <= 3; level++ {
			if closed(level) != (level <= n) {
				t.Errorf("after %d, level %d is closed: %t", n, level, closed(level))
			}
		}
	}
}

func TestInterruptsClaim(t *testing.T) {
	var i Interrupts
	if i.EndWindow() {
		t.Error("ended a window that nobody waits for")
	}
	first, second := 0, 0
	release := i.Claim(func() { first++ })
	if i.Signal() != 0 || first != 1 || i.Signal() != 1 || first != 1 {
		t.Errorf("the claim was called %d times", first)
	}
	release()
	later := i.Claim(func() { second++ })
	release() // of a claim that has gone: the later one stays
	if !i.EndWindow() || second != 1 || i.EndWindow() {
		t.Errorf("the later claim was called %d times", second)
	}
	later()
	released := i.Claim(func() { first++ })
	released()
	if i.EndWindow() || first != 1 {
		t.Error("a claim that was taken back was called")
	}
}

// However many goroutines signal, one gets the claim and the others are counted.
func TestInterruptsAtOnce(t *testing.T) {
	var i Interrupts
	claimed := make(chan struct{})
	defer i.Claim(func() { close(claimed) })()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var got []int
	for range 10 {
		wg.Go(func() {
			n := i.Signal()
			mu.Lock()
			defer mu.Unlock()
			got = append(got, n)
		})
	}
	wg.Wait()
	<-claimed
	slices.Sort(got)
	if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("got %v", got)
	}
}

// Every kind of plan step can be read back with its parameters, and every result
// from a journal.
func TestTable(t *testing.T) {
	target := Target{Name: "server", Engine: "vllm", Endpoints: []string{"http://a"}, TraceDir: "t", Version: "0.32.0",
		Options: map[string]any{"n": json.Number("3")}, Bearer: &spec.Secret{Ref: "r"},
		Launch: &LaunchParams{Command: []string{"x"}, Env: map[string]spec.Secret{"A": {Value: "b"}}, ReadyTimeout: wire.Duration(time.Minute)}}
	h := Header{Name: "id", Round: 2}
	targets := []Target{target}
	traffic := closedLoad("http://p")
	for _, s := range []Step{
		&Launch{Header: h, Targets: targets, Record: Record{Shapes: true, Activities: []string{"cpu"}}},
		&Probe{Header: h, Targets: targets, Strategies: []string{"timed"}, Evidence: "scope"},
		&Preflight{Header: h, Targets: targets, MinFreeDisk: 5},
		&Warmup{Header: h, Targets: targets, Traffic: &traffic, Running: 3, Stable: 4, Requests: 5, Duration: 6, Timeout: 7},
		&Window{Header: h, Targets: targets, Form: "steps", Count: 1, Delay: 2, Duration: 3, Until: "stopped", Timeout: 4, MinFreeDisk: 5, MaxTraceSize: 6},
		&Collect{Header: h, Targets: targets, ExpectRanks: 8, DeleteRemote: true, Timeout: 3},
		&Verify{Header: h, Targets: targets, Form: "steps", Count: 1, Delay: 2, Duration: 3, Evidence: "scope", Record: Record{FLOPs: true}, KeepOriginal: true, ExpectRanks: 8},
		&Shutdown{Header: h}, &Analyze{Header: h, Record: Record{Stack: true}}, &Seal{Header: h, Record: Record{Memory: true}}, &Store{Header: h, Path: "p", Format: "dir"},
	} {
		params, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(s.Kind(), "id", 2, params)
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%s: %+v, %v", s.Kind(), again, err)
		}
		if bytes.Contains(params, []byte(`"id"`)) || Describe(s) == s.Kind() || Describe(s) == "" {
			t.Errorf("%s: %s, %q", s.Kind(), params, Describe(s))
		}
		if _, err := Decode(s.Kind(), "id", 2, []byte(`{"no_such":1}`)); err == nil || !strings.Contains(err.Error(), "plan step id") {
			t.Errorf("%s: unknown parameters: %v", s.Kind(), err)
		}
	}
	if _, err := Decode("wipe", "id", 0, nil); err == nil {
		t.Error("decoded an unknown kind")
	}
}

func TestDecodeResult(t *testing.T) {
	now := time.Date(2026, 11, 24, 3, 15, 0, 123456789, time.UTC)
	skew := int64(7)
	for kind, result := range map[string]any{
		"launch":    LaunchResult{Servers: []Launched{{Target: "t", Endpoints: []string{"http://a"}, PID: 3}}},
		"probe":     ProbeResult{Endpoints: []Probed{{Target: "t", Endpoint: "http://a", Choice: Choice{Strategy: "timed"}}}},
		"preflight": PreflightResult{ArchiveFree: 1, TraceFree: map[string]int64{"t": 2}},
		"warmup":    WarmupResult{Took: 3, Running: -1},
		"window":    WindowResult{Ended: EndedLimit, Endpoints: []EndpointWindow{{Target: "t", StartSent: now, StopSent: now, Stopped: true, Seen: -1}}, Before: map[string]Snapshot{"t": {"a": "b"}}},
		"collect":   CollectResult{Files: []archive.File{{Path: "a", Size: 1}}},
		"verify":    VerifyResult{Windows: []archive.Window{{Target: "t"}}, SkewNS: &skew, Seen: &archive.Options{Shapes: true}},
		"shutdown":  ShutdownResult{Ended: 1},
		"analyze":   AnalyzeResult{Found: []string{"t: 5 decode steps"}, Left: "interrupted"},
		"seal":      SealResult{Files: 4},
		"store":     StoreResult{Path: "p"},
	} {
		raw, err := json.Marshal(result)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeResult(kind, raw)
		if text, _ := json.Marshal(again); err != nil || !bytes.Equal(text, raw) || reflect.TypeOf(again) != reflect.TypeOf(result) {
			t.Errorf("%s: %+v, %v", kind, again, err)
		}
		if _, err := DecodeResult(kind, []byte(`[`)); err == nil {
			t.Errorf("%s: decoded half a result", kind)
		}
	}
	if _, err := DecodeResult("wipe", nil); err == nil {
		t.Error("decoded a result of an unknown kind")
	}
}

func FuzzDecode(f *testing.F) {
	for _, k := range table() {
		f.Add(k.name, []byte(`{"targets":[{"name":"a","engine":"vllm"}],"timeout":"1m"}`))
		f.Add(k.name, []byte(`null`))
	}
	f.Fuzz(func(t *testing.T, kind string, params []byte) {
		s, err := Decode(kind, "id", 1, params)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(kind, "id", 1, again); err != nil {
			t.Fatalf("%s cannot be read again: %v", again, err)
		}
	})
}

func TestSecret(t *testing.T) {
	r := &Run{Secrets: map[string]string{"a": "x"}}
	for _, c := range []struct {
		secret *spec.Secret
		want   string
		err    bool
	}{{nil, "", false}, {&spec.Secret{}, "", false}, {&spec.Secret{Value: "v"}, "v", false}, {&spec.Secret{Ref: "a"}, "x", false}, {&spec.Secret{Ref: "b"}, "", true}} {
		if got, err := r.secret(c.secret); got != c.want || (err != nil) != c.err {
			t.Errorf("%+v: %q, %v", c.secret, got, err)
		}
	}
}

// A client of each endpoint has its target's token.
func TestServersBearer(t *testing.T) {
	h := newHost(t)
	target := h.serve("a", "b")
	h.Secrets = map[string]string{"ref": "t0k"}
	target.Bearer = &spec.Secret{Ref: "ref"}
	servers, err := h.Run.servers([]Target{target})
	if err != nil || len(servers) != 2 || h.server("b").bearer != "t0k" {
		t.Errorf("%+v, %v", servers, err)
	}
	h.Secrets = nil
	if _, err := h.Run.servers([]Target{target}); err == nil || !strings.Contains(err.Error(), "target server") {
		t.Errorf("got %v", err)
	}
	// Without a test's clients, those of the kind are made.
	h.newClient = nil
	target.Bearer = nil
	if servers, err := h.Run.servers([]Target{target}); err != nil || servers[0].Client.Endpoint() != "http://a" {
		t.Errorf("%+v, %v", servers, err)
	}
}
