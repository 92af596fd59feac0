package steps

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"profjob/internal/wire"
)

// Evidence that is weaker than the job asks for proves nothing.
func TestVerifyWeakEvidence(t *testing.T) {
	for evidence, exact := range map[string]bool{"annotation": false, "scope": true, "structure": true, "": true} {
		h := newHost(t)
		target := h.serve("a")
		h.written(target, nil, oneTrace(own(t, "v0.11.0-scopes.json.gz")))
		v := verifySteps(2, 0, target)
		v.Evidence = evidence
		got, err := h.verify(v)
		if (err == nil) != exact || got.Windows[0].Exact != exact || (got.Windows[0].Reason == "") != exact {
			t.Errorf("%q: %+v, %v", evidence, got.Windows[0], err)
		}
	}
}

// A window by hand is exact within 5 % or 50 ms, if it saw an engine step.
// withoutItsDuration takes from a trace what tells for how long the profiler was on.
func withoutItsDuration(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(text, []byte("PyTorch Profiler (0)"), []byte("another span"))
}

// quietly is withoutItsDuration for the traces among a server's files.
func quietly(t *testing.T, files map[string][]byte) map[string][]byte {
	t.Helper()
	for name, data := range files {
		if strings.HasSuffix(name, ".json.gz") {
			files[name] = withoutItsDuration(t, data)
		}
	}
	return files
}

func TestVerifyManual(t *testing.T) {
	data := withoutItsDuration(t, own(t, "v0.32.0-four-steps.json.gz"))
	empty := []byte(`{"traceEvents":[{"ph":"X","cat":"cpu_op","name":"aten::add","pid":1,"tid":1,"ts":1.000,"dur":2.000}]}`)
	for _, c := range []struct {
		name   string
		asked  time.Duration
		open   time.Duration
		ended  string
		until  string
		trace  []byte
		reason string
		final  bool
	}{
		{"exact", 2 * time.Second, 2 * time.Second, EndedDuration, "", data, "", false},
		{"5 % more", 2 * time.Second, 2100 * time.Millisecond, EndedDuration, "", data, "", false},
		{"more than 5 %", 2 * time.Second, 2101 * time.Millisecond, EndedDuration, "", data, "it was open for 2.101s, 2s were asked for", false},
		{"5 % less", 2 * time.Second, 1900 * time.Millisecond, EndedDuration, "", data, "", false},
		{"less than 5 %", 2 * time.Second, 1899 * time.Millisecond, EndedDuration, "", data, "it was open for 1.899s", false},
		{"50 ms", 100 * time.Millisecond, 150 * time.Millisecond, EndedDuration, "", data, "", false},
		{"more than 50 ms", 100 * time.Millisecond, 151 * time.Millisecond, EndedDuration, "", data, "it was open", false},
		{"interrupted", 2 * time.Second, time.Second, EndedInterrupted, "", data, "the window was interrupted", false},
		{"aborted", 2 * time.Second, 2 * time.Second, EndedAborted, "", data, "the window was aborted", false},
		{"limit", 2 * time.Second, 2 * time.Second, EndedLimit, "", data, "ended early, by its limits", true},
		{"until stopped", 0, 17 * time.Second, EndedStopped, "stopped", data, "", false},
		{"until the timeout", 0, 17 * time.Second, EndedTimeout, "stopped", data, "nobody ended the window", true},
		{"until interrupted", 0, 17 * time.Second, EndedInterrupted, "stopped", data, "the window was interrupted", false},
		{"stopped by somebody else", 2 * time.Second, 2 * time.Second, EndedDuration, "", own(t, "v0.32.0-four-steps.json.gz"),
			"of the 2s that the window was open: did somebody else stop it?", false},
		{"no traffic", 2 * time.Second, 2 * time.Second, EndedDuration, "", empty, "no engine step", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			h.written(target, func(r *WindowResult) {
				e := &r.Endpoints[0]
				e.StopSent, e.Ended, r.Ended = e.StartAnswered.Add(c.open), c.ended, c.ended
			}, oneTrace(c.trace))
			v := verifySteps(0, 0, target)
			v.Form, v.Duration, v.Until = "manual", wire.Duration(c.asked), c.until
			got, err := h.verify(v)
			exit := ExitOK
			if c.reason != "" {
				exit = ExitWindow
			}
			failed(t, err, exit, c.reason)
			if failureIn(err).Final != c.final {
				t.Errorf("final %t", failureIn(err).Final)
			}
			w := got.Windows[0]
			if w.Exact != (c.reason == "") || !contains(w.Reason, c.reason) || w.Got.DurationNS != int64(c.open) || w.Got.Trimmed || len(got.Files) != 1 {
				t.Errorf("window %+v", w)
			}
		})
	}
}

// The duration of a window by hand counts from the first start's answer, at whatever endpoint.
func TestVerifyManualFromTheFirstAnswer(t *testing.T) {
	h := newHost(t)
	target := h.serve("a", "b")
	h.written(target, func(r *WindowResult) {
		a, b := &r.Endpoints[0], &r.Endpoints[1]
		a.StartAnswered = b.StartAnswered.Add(time.Second)
		a.StopSent, b.StopSent = b.StartAnswered.Add(2*time.Second), b.StartAnswered.Add(2*time.Second)
		a.Ended, b.Ended = EndedDuration, EndedDuration
	}, quietly(t, dp2(t)))
	v := verifySteps(0, 0, target)
	v.Form, v.Duration = "manual", wire.Duration(2*time.Second)
	got, err := h.verify(v)
	if err != nil || len(got.Windows) != 2 || got.Windows[1].Got.DurationNS != int64(2*time.Second) {
		t.Errorf("%+v, %v", got.Windows, err)
	}
}

// A limit that ended the window early would end the next attempt's, too.
func TestVerifyLimitIsFinal(t *testing.T) {
	h := newHost(t)
	target := h.serve("a")
	h.written(target, func(r *WindowResult) {
		r.Ended, r.Endpoints[0].Ended, r.Limit = EndedLimit, EndedLimit, "trace_dir has grown"
	}, oneTrace(own(t, "v0.32.0-four-steps.json.gz")))
	_, err := h.verify(verifySteps(9, 0, target))
	failed(t, err, ExitWindow, "no more than")
	failed(t, err, ExitWindow, "it was ended early: trace_dir has grown")
	if !failureIn(err).Final {
		t.Error("another attempt would be made")
	}
	// What was got in time is got.
	if _, err := h.verify(verifySteps(3, 0, target)); err != nil {
		t.Error(err)
	}
}

// A recording that began before it was asked for is somebody else's, if the trace
// has Unix time.
func TestVerifyForeignSession(t *testing.T) {
	data := withoutItsDuration(t, own(t, "v0.32.0-four-steps.json.gz"))
	first := firstPass(t, data)
	for _, c := range []struct {
		name  string
		sent  []time.Duration // from the first pass on, of each endpoint
		exact bool
	}{
		{"asked for before", []time.Duration{-time.Second}, true},
		{"clocks differ", []time.Duration{1990 * time.Millisecond}, true},
		{"asked for after", []time.Duration{2010 * time.Millisecond}, false},
		{"minutes after", []time.Duration{10 * time.Minute}, false},
		{"times of another kind", []time.Duration{25 * time.Hour}, true},
		{"times of another kind, earlier", []time.Duration{-25 * time.Hour}, true},
		{"one of two asked before", []time.Duration{10 * time.Minute, -time.Second}, true},
		{"both asked after", []time.Duration{10 * time.Minute, time.Minute}, false},
	} {
		for _, form := range []string{"steps", "manual"} {
			t.Run(c.name+", "+form, func(t *testing.T) {
				h := newHost(t)
				target := h.serve([]string{"a", "b"}[:len(c.sent)]...)
				h.written(target, func(r *WindowResult) {
					for i, d := range c.sent {
						r.Endpoints[i].StartSent = first.Add(d)
					}
				}, map[string][]byte{"rank0.1.pt.trace.json.gz": data, "rank0.2.pt.trace.json.gz": data})
				v := verifySteps(3, 0, target)
				if v.Form = form; form == "manual" {
					v.Count, v.Duration = 0, wire.Duration(time.Second)
				}
				got, err := h.verify(v)
				exit, text := ExitOK, ""
				if !c.exact {
					exit, text = ExitWindow, "the recording began at "+first.UTC().Format("2006-01-02 15:04:05.000")
				}
				failed(t, err, exit, text)
				if w := got.Windows[0]; w.Exact != c.exact || !c.exact && (!strings.Contains(w.Reason, "before it was asked for: somebody else's session was on") || w.Got.Trimmed) {
					t.Errorf("window %+v", w)
				}
			})
		}
	}
}

// firstPass is when a trace's first pass began.
func firstPass(t testing.TB, data []byte) time.Time {
	t.Helper()
	return time.Unix(0, scanOf(t, data).Passes[0].Start)
}

// Passes on several threads are not one engine's.
func TestVerifyLanes(t *testing.T) {
	events := `{"traceEvents":[`
	for tid := range 2 {
		for i := range 3 {
			events += fmt.Sprintf(`{"ph":"X","cat":"user_annotation","name":"execute_context_0(0)_generation_1(1)","pid":1,"tid":%d,"ts":%d,"dur":90},`+
				`{"ph":"X","cat":"cpu_op","name":"aten::embedding","pid":1,"tid":%d,"ts":%d,"dur":10},`, tid, 1000+100*i, tid, 1010+100*i)
		}
	}
	h := newHost(t)
	target := h.serve("a")
	h.written(target, nil, map[string][]byte{"rank0.1.pt.trace.json": []byte(strings.TrimSuffix(events, ",") + `]}`)})
	got, err := h.verify(verifySteps(2, 0, target))
	failed(t, err, ExitWindow, "the engine steps are spread over 2 threads")
	if got.Windows[0].Exact || got.Windows[0].Got.Trimmed {
		t.Errorf("window %+v", got.Windows[0])
	}
}

// A server's own bound ends a recording before the window by hand is over.
func TestVerifyManualBound(t *testing.T) {
	data := withoutItsDuration(t, own(t, "v0.32.0-four-steps.json.gz"))
	passes := scanOf(t, data).Passes
	last := time.Unix(0, passes[len(passes)-1].End)
	for _, c := range []struct {
		name  string
		bound any // max_iterations
		asked int // by the start
		early time.Duration
		exact bool
	}{
		{"no bound", nil, 0, 5 * time.Second, true},
		{"none either", json.Number("0"), 0, 5 * time.Second, true},
		{"bound", json.Number("4"), 0, 5 * time.Second, false},
		{"bound of the start", nil, 4, 5 * time.Second, false},
		{"10 %", json.Number("4"), 0, 1990 * time.Millisecond, true},
		{"more than 10 %", json.Number("4"), 0, 2010 * time.Millisecond, false},
		{"times of another kind", json.Number("4"), 0, 25 * time.Hour, true},
	} {
		for _, until := range []string{"", "stopped"} {
			t.Run(c.name+until, func(t *testing.T) {
				h := newHost(t)
				target := h.serve("a")
				if c.bound != nil {
					target.Options = map[string]any{"max_iterations": c.bound}
				}
				h.written(target, func(r *WindowResult) {
					e := &r.Endpoints[0]
					e.StopSent, e.Bound, e.Ended = last.Add(c.early), c.asked, EndedDuration
					e.StartAnswered = e.StopSent.Add(-20 * time.Second)
					e.StartSent = time.Unix(0, passes[0].Start)
				}, oneTrace(data))
				v := verifySteps(0, 0, target)
				v.Form, v.Duration, v.Until = "manual", wire.Duration(20*time.Second), until
				got, err := h.verify(v)
				exit, text := ExitOK, ""
				if !c.exact {
					exit, text = ExitWindow, "the server's own bound ended the recording early: its last pass ended "+c.early.String()+" before the stop (max_iterations is 4)"
				}
				failed(t, err, exit, text)
				if got.Windows[0].Exact != c.exact {
					t.Errorf("window %+v", got.Windows[0])
				}
			})
		}
	}
}
