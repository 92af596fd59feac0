package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// event is something that happens to a server, in the form that the plugin's
// side reads.
type event map[string]any

// randomEvents makes the life of a server: passes, pauses, and calls that make
// sense at some times and none at others.
func randomEvents(r *rand.Rand, n int) []event {
	var events []event
	sessions := 1
	for range n {
		switch k := r.IntN(20); {
		case k < 12:
			events = append(events, event{"pass": randomPass(r)})
		case k < 14:
			events = append(events, event{"advance": float64(1+r.IntN(12)) / 4})
		case k < 16:
			if r.IntN(2) > 0 {
				sessions++
			}
			events = append(events, event{"arm": randomRequest(r, sessions)})
		default:
			e := event{"call": pick(r, []string{"renew", "renew", "renew", "disarm"}), "session": fmt.Sprintf("s%d", 1+r.IntN(sessions))}
			if e["call"] == "renew" && r.IntN(3) == 0 {
				e["lease_s"] = float64(1 + r.IntN(4))
			}
			events = append(events, e)
		}
	}
	return append(events, event{"call": "renew", "session": fmt.Sprintf("s%d", sessions)})
}

// randomPass is a pass in the words of the plugin's tests.
func randomPass(r *rand.Rand) map[string]any {
	fresh, context, generation := [][2]any{}, [][2]any{}, []string{}
	for i := range pick(r, []int{0, 0, 0, 1, 2}) {
		fresh = append(fresh, [2]any{fmt.Sprintf("n%d", i), 1 + r.IntN(20)})
	}
	for i := range pick(r, []int{0, 0, 0, 1}) {
		context = append(context, [2]any{fmt.Sprintf("c%d", i), 1 + r.IntN(20)})
	}
	for i := range pick(r, []int{0, 1, 2, 5}) {
		generation = append(generation, fmt.Sprintf("g%d", i))
	}
	return map[string]any{"new": fresh, "context": context, "generation": generation}
}

func randomRequest(r *rand.Rand, session int) map[string]any {
	window := map[string]any{"phase": pick(r, phases), "all": r.IntN(3) == 0, "threshold": pick(r, []int{1, 1, 2, 5, 15, 3000})}
	if r.IntN(4) == 0 {
		window["duration_s"] = float64(1+r.IntN(8)) / 4
	} else {
		window["steps"] = 1 + r.IntN(5)
	}
	if r.IntN(3) == 0 {
		window["at_most"] = pick(r, []int{5, 20, 40})
	}
	if r.IntN(3) == 0 {
		window["delay"] = r.IntN(5)
	}
	if r.IntN(3) == 0 {
		window["skip_requests"] = r.IntN(4)
	}
	request := map[string]any{"protocol": 1, "session": fmt.Sprintf("s%d", session), "window": window, "lease_s": 1 + r.IntN(8)}
	if r.IntN(4) == 0 {
		request["limits"] = map[string]any{"max_steps": 5, "max_seconds": 1 + r.IntN(5)}
	}
	if r.IntN(20) == 0 {
		request["activities"] = []string{"cpu", "device"}
	}
	return request
}

// world is a gate with a clock that stands still.
type world struct {
	t      *testing.T
	gate   *Gate
	routes map[string]http.HandlerFunc
	now    time.Time
}

func newWorld(t *testing.T, c Config) *world {
	w := &world{t: t, now: time.Unix(0, 0), routes: map[string]http.HandlerFunc{}}
	c.Now = func() time.Time { return w.now }
	if c.Root == "" {
		c.Root = t.TempDir()
	}
	if c.MaxNumBatchedTokens == 0 {
		c.MaxNumBatchedTokens, c.MaxNumSeqs = 2048, 16
	}
	w.gate = New(c)
	for _, r := range NewFront(w.gate, "x", func(f func() error) error { return f() }).Routes() {
		w.routes[r.Method+" "+r.Path] = r.Handle
	}
	return w
}

// do asks one of the routes.
func (w *world) do(method, route, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, prefix+route, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer x")
	answer := httptest.NewRecorder()
	w.routes[method+" "+r.URL.Path](answer, r)
	return answer
}

func (w *world) post(route string, body any) any {
	w.t.Helper()
	text, ok := body.(string)
	if !ok {
		data, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(data)
	}
	got := w.do("POST", route, text)
	v := decoded(w.t, got.Body.Bytes())
	if got.Code != http.StatusOK {
		v.(map[string]any)["status"] = float64(got.Code)
	}
	return v
}

func (w *world) pass(p Pass) {
	w.gate.Before(p)
	w.gate.Sampled()
	w.gate.writers.Wait()
}

func (w *world) advance(d time.Duration) {
	w.now = w.now.Add(d)
	w.gate.Check()
	w.gate.writers.Wait()
}

// live lets an event happen and gives the answer, if it is a call.
func (w *world) live(e event) any {
	w.t.Helper()
	switch {
	case e["pass"] != nil:
		w.pass(passOf(e["pass"].(map[string]any)))
		return nil
	case e["advance"] != nil:
		w.advance(duration(e["advance"].(float64)))
		return nil
	}
	defer w.gate.writers.Wait()
	if e["arm"] != nil {
		return w.post("arm", e["arm"])
	}
	body := map[string]any{"session": e["session"]}
	if lease := e["lease_s"]; lease != nil {
		body["lease_s"] = lease
	}
	return w.post(e["call"].(string), body)
}

func passOf(pass map[string]any) Pass {
	var p Pass
	for _, kind := range []string{"new", "context"} {
		for _, r := range pass[kind].([][2]any) {
			p.ContextRequests++
			p.ContextTokens += r[1].(int)
		}
	}
	p.New = len(pass["new"].([][2]any))
	p.GenerationRequests = len(pass["generation"].([]string))
	p.GenerationTokens = p.GenerationRequests
	return p
}

// armedTwice is a session that is armed again under its own name while it records:
// that is refused, and takes back the first.
var armedTwice = func() []event {
	pass := event{"pass": map[string]any{"new": [][2]any{}, "context": [][2]any{}, "generation": []string{"g"}}}
	arm := event{"arm": map[string]any{"protocol": 1, "session": "s", "window": map[string]any{"steps": 5}}}
	ask := event{"call": "renew", "session": "s"}
	events := []event{pass, arm}
	for range 9 {
		events = append(events, pass)
	}
	return append(events, ask, arm, ask, pass, ask, arm)
}()

// TestLivesBesideThePlugin lets the plugin's code and the gate here live through
// the same events, and compares all that they say.
func TestLivesBesideThePlugin(t *testing.T) {
	p := startPlugin(t)
	ended := map[string]int{}
	for seed := range uint64(200) {
		ray := seed%3 == 2
		events := randomEvents(rand.New(rand.NewPCG(seed, 1)), 80)
		if seed < 3 {
			events = armedTwice
		}
		want := p.ask(map[string]any{"play": events, "ray": ray}).([]any)
		w := newWorld(t, Config{Ray: ray})
		i := 0
		for n, e := range events {
			got := w.live(e)
			if got == nil {
				continue
			}
			if diff := cmp.Diff(told(want[i]), told(got)); diff != "" {
				t.Fatalf("life %d, event %d, %v (plugin -, here +)\n%s", seed, n, e, diff)
			}
			count(ended, got)
			i++
		}
		w.nothingElse(seed)
	}
	for _, reason := range []string{"steps", "duration", "disarm", "lease", "max_steps", "max_seconds"} {
		if ended[reason] == 0 {
			t.Errorf("no session ended by %s: %v", reason, ended)
		}
	}
	t.Logf("ended by: %v", ended)
}

// nothingElse checks that the folder holds the files that sessions list, and no others.
func (w *world) nothingElse(life uint64) {
	w.t.Helper()
	listed := 0
	for _, s := range w.gate.ended {
		listed += len(s.files)
	}
	found, err := os.ReadDir(w.gate.config.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || len(found) != listed {
		w.t.Errorf("life %d: %d files, sessions list %d, %v", life, len(found), listed, err)
	}
}

func count(ended map[string]int, answer any) {
	workers, ok := answer.(map[string]any)["workers"].([]any)
	if !ok {
		return
	}
	if reason, ok := workers[0].(map[string]any)["ended_by"].(string); ok {
		ended[reason]++
	}
}

// told takes out of an answer what differs by nature: who is asked, times, and
// what is in a file.
func told(answer any) any {
	m, ok := answer.(map[string]any)
	if !ok {
		return answer
	}
	if e, ok := m["error"].(map[string]any); ok {
		delete(e, "workers")
	}
	workers, _ := m["workers"].([]any)
	for _, each := range workers {
		w := each.(map[string]any)
		for _, key := range []string{"host", "pid", "tp_rank", "pp_rank", "cost"} {
			delete(w, key)
		}
		for _, step := range w["steps"].([]any) {
			delete(step.(map[string]any), "start_ns")
			delete(step.(map[string]any), "end_ns")
		}
		for _, file := range w["files"].([]any) {
			f := file.(map[string]any)
			delete(f, "size")
			delete(f, "sha256")
		}
	}
	return m
}
