package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzReaderJSON: what is valid JSON and a trace gives the events that
// encoding/json reads in it; nothing panics.
func FuzzReaderJSON(f *testing.F) {
	for _, s := range []string{
		twoEvents, `[{"ph":"X","ts":"1.5"}]`, `{"traceEvents":[]}`, `{"traceEvents":[{"args":{"a":[{}]}}],"b":"\ud83d"}`,
		`[{"ph": "X", "cat": "cpu_op", "name": "a", "pid": 1, "tid": 2, "ts": 1234567812345678.123456, "dur": 0.5, "args": {"External id": 7, "correlation":1, "Input Dims": [[1, 2], []]}}]`,
		`[{"name":"a","args":{"a":"b\\","correlation":-1.5e3}} , {"id":1,"bp":"e","args":{"x":null,"correlation":true}}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Open(write(t, "x", data))
		if err != nil {
			return
		}
		defer r.Close()
		want, good := reference(data)
		for n := 0; ; n++ {
			e, err := r.Next()
			if err != nil {
				if good && (err != io.EOF || n != len(want)) {
					t.Errorf("%d of %d events, then %v", n, len(want), err)
				}
				return
			}
			if good {
				compare(t, e, want[n])
			}
		}
	})
}

// reference gives the events of a text that is a trace for sure.
func reference(data []byte) (events []json.RawMessage, good bool) {
	if !json.Valid(data) || !utf8.Valid(data) || bytes.Count(data, []byte("{")) > maxDepth {
		return nil, false
	}
	if json.Unmarshal(data, &events) != nil {
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil || bytes.Count(data, []byte("traceEvents")) != 1 || bytes.Contains(data, []byte("baseTime")) ||
			bytes.HasPrefix(object["traceEvents"], []byte("null")) || json.Unmarshal(object["traceEvents"], &events) != nil {
			return nil, false
		}
	}
	if events == nil || bytes.Count(data, []byte("[")) > maxDepth {
		return nil, false
	}
	for _, raw := range events {
		var m map[string]json.RawMessage
		if raw[0] != '{' || json.Unmarshal(raw, &m) != nil || bytes.Contains(raw, []byte(`\u`)) {
			return nil, false
		}
		if ph := m["ph"]; ph != nil && (len(ph) != 3 || ph[0] != '"') || !plainTime(m["ts"]) || !plainTime(m["dur"]) {
			return nil, false
		}
	}
	return events, true
}

func plainTime(raw json.RawMessage) bool {
	if raw == nil {
		return true
	}
	n, ok := new(big.Rat).SetString(string(raw))
	return ok && !bytes.ContainsAny(raw, "eE") && n.Cmp(big.NewRat(1<<50, 1)) < 0 && n.Cmp(big.NewRat(-1<<50, 1)) > 0
}

func compare(t *testing.T, e *Event, raw json.RawMessage) {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	phase := ""
	if e.Phase != 0 {
		phase = `"` + string(e.Phase) + `"`
	}
	got := map[string]string{"raw": string(e.Raw), "ph": phase, "cat": string(e.Category), "name": string(e.Name), "pid": string(e.PID),
		"tid": string(e.TID), "id": string(e.ID), "bp": string(e.Bind), "args": string(e.Args), "timed": fmt.Sprint(e.Timed),
		"ts": fmt.Sprint(e.TS), "dur": fmt.Sprint(e.Dur)}
	want := map[string]string{"raw": string(raw), "ph": string(m["ph"]), "args": string(m["args"]), "timed": fmt.Sprint(m["ts"] != nil),
		"ts": fmt.Sprint(nanos(json.Number(m["ts"]))), "dur": fmt.Sprint(max(nanos(json.Number(m["dur"])), 0))}
	for _, key := range []string{"cat", "name", "pid", "tid", "id", "bp"} {
		want[key] = string(m[key])
		if len(m[key]) > 0 && m[key][0] == '"' {
			want[key] = plainText(m[key])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", raw, diff)
	}
	var args map[string]json.RawMessage
	if json.Unmarshal(m["args"], &args) == nil && !bytes.Contains(m["args"], []byte(`\`)) {
		all := map[string]json.RawMessage{}
		for key, value := range e.AllArgs() {
			all[string(key)] = value
		}
		if len(all) != len(args) {
			t.Errorf("%s: %d arguments", raw, len(all))
		}
		for key, value := range args {
			if string(all[key]) != string(value) {
				t.Errorf("%s: argument %s = %s", raw, key, all[key])
			}
		}
	}
}

// FuzzParseEvent: the quick ways give what the thorough ones do, for all bytes
// and wherever they end.
func FuzzParseEvent(f *testing.F) {
	for _, s := range []string{
		`{"ph": "X", "cat": "cpu_op", "name": "a", "pid": 1, "tid": 2, "ts": 1234567812345678.123456, "dur": 0.5, "args": {"External id": 7, "correlation":1, "Input Dims": [[1, 2], []]}}`,
		`{"ts":1.,"dur":-3,"id":"7","args":{"a":"\"","b":[{"c":1}],"d":[["]"]],"e":NaN}}`,
		`{"ts":"1.5","tid":[1],"args":{"a" 1}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || data[0] != '{' {
			return
		}
		for _, text := range [][]byte{data, append(bytes.Clone(data), "                                 "...)} {
			var quick, thorough Event
			got, want := parseEvent(text, &quick), thoroughly(text, &thorough)
			if got != want {
				t.Fatalf("%q: %d, want %d", text, got, want)
			}
			if got < 0 {
				continue
			}
			if brief(&quick) != brief(&thorough) || quick.ts != thorough.ts || quick.dur != thorough.dur || quick.args != thorough.args {
				t.Errorf("%q: %s, want %s", text, brief(&quick), brief(&thorough))
			}
			if got, want := listed(&quick), listed(&Event{Args: quick.Args}); got != want {
				t.Errorf("%q: arguments %s, want %s", text, got, want)
			}
		}
	})
}

// thoroughly is parseEvent without its quick ways.
func thoroughly(b []byte, e *Event) int {
	i := skipSpace(b, 1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		m, code := nextMember(b, i)
		if code < 0 {
			return code
		}
		if !e.set(b, m) {
			return malformed
		}
		if i = m.next; m.last {
			return i
		}
	}
}

func listed(e *Event) string {
	var s string
	for key, value := range e.AllArgs() {
		s += fmt.Sprintf("%s=%s;", key, value)
	}
	return s
}

// TestTrimAnyOrder: in whatever order the events of a file stand, those are
// kept that the rules keep when they know all of it.
func TestTrimAnyOrder(t *testing.T) {
	var events []string
	for i := range 40 {
		ts := 80 + i*4
		events = append(events,
			fmt.Sprintf(`{"ph":"X","cat":"cuda_runtime","name":"launch","ts":%d,"dur":1,"args":{"correlation":%d}}`, ts, i/2),
			fmt.Sprintf(`{"ph":"X","cat":"cpu_op","name":"op","ts":%d,"dur":1,"args":{"External id":%d}}`, ts, 100+i),
			fmt.Sprintf(`{"ph":"X","cat":"kernel","name":"kernel","ts":%d,"dur":1,"args":{"correlation":%d}}`, ts+30, i),
			fmt.Sprintf(`{"ph":"X","cat":"gpu_memcpy","name":"copy","ts":%d,"dur":1,"args":{"correlation":%d,"External id":%d}}`, ts-30, i+30, 95+i),
			fmt.Sprintf(`{"ph":"f","cat":"ac2g","name":"flow","ts":%d,"id":%d}`, ts+20, i))
	}
	rng := rand.New(rand.NewSource(1))
	for n := range 60 {
		if n > 0 {
			swaps := 1 + rng.Intn(len(events))
			for range swaps {
				i, j := rng.Intn(len(events)), rng.Intn(len(events))
				events[i], events[j] = events[j], events[i]
			}
		}
		base := []string{"", `"baseTimeNanoseconds":1700000000000000000`}[n%2]
		text := `{"traceEvents":[` + join(events) + `]`
		if base != "" && n%4 == 1 {
			text = `{` + base + `,` + text[1:] + `}`
		} else if base != "" {
			text += `,` + base + `}`
		} else {
			text += `}`
		}
		cut := Cut{Start: 100000, End: 200000}
		if base != "" {
			cut.Start, cut.End = cut.Start+17e17, cut.End+17e17
		}
		src, dst := write(t, "x.json", []byte(text)), filepath.Join(t.TempDir(), "y.json")
		if _, err := Trim(t.Context(), src, dst, cut); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range decode(t, dst).events {
			got = append(got, string(e.raw))
		}
		if diff := cmp.Diff(knowingAll(t, src), got); diff != "" {
			t.Fatalf("order %d: %s", n, diff)
		}
	}
}

func join(events []string) string {
	var b bytes.Buffer
	for i, e := range events {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(e)
	}
	return b.String()
}

// knowingAll learns first and decides then.
func knowingAll(t *testing.T, src string) (kept []string) {
	t.Helper()
	r := rules{start: 100000, end: 200000}
	for _, learning := range []bool{true, false} {
		f, err := Open(src)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for {
			e, err := f.Next()
			if err != nil {
				break
			}
			if learning {
				if err := r.learn(e); err != nil {
					t.Fatal(err)
				}
			} else if r.decide(e) != drop {
				kept = append(kept, string(e.Raw))
			}
		}
		r.settled = true
	}
	return kept
}
