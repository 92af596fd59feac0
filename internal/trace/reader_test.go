package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// shorthand of an event, for comparison.
func brief(e *Event) string {
	return fmt.Sprintf("%c|%s|%s|%s|%s|%s|%s|%d+%d|%v|%s",
		e.Phase, e.Category, e.Name, e.PID, e.TID, e.ID, e.Bind, e.TS, e.Dur, e.Timed, e.Args)
}

// readAll gives the events of a file in short, and the error that ended them.
func readAll(t testing.TB, path string) (events []string, r *Reader, err error) {
	t.Helper()
	if r, err = Open(path); err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { r.Close() })
	for {
		e, err := r.Next()
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Errorf("%s: the error changed from %v to %v", path, err, again)
			}
			return events, r, err
		}
		events = append(events, brief(e))
	}
}

const twoEvents = `{"schemaVersion": 1, "a\"b": {"x": [1, 2]},
 "traceEvents": [
  {"ph": "X", "cat": "cpu_op", "name": "a\u00e9\"\n", "pid": 1, "tid": "t 1", "ts": 12.3456, "dur": 2,
   "args": {"External id": 7, "list": [1, {"k": "]"}]}},
  {"ph": "f", "id": 5, "bp": "e", "pid": "Spans", "tid": 0, "ts": 13}
 ], "baseTimeNanoseconds": 1790857026000000000, "traceName": "x"}
`

func TestReader(t *testing.T) {
	first := `X|cpu_op|aé"` + "\n" + `|1|t 1|||12345+2000|true|{"External id": 7, "list": [1, {"k": "]"}]}`
	second := `f|||Spans|0|5|e|13000+0|true|`
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"object", twoEvents, []string{first, second}},
		{"bare array", `[{"ph":"X","ts":"1.5","dur":0.25,"name":"n"}]`, []string{"X||n|||||1500+250|true|"}},
		{"no events", `{"traceEvents":[]}`, nil},
		{"empty bare array", " [ ] ", nil},
		{"event without members", `{"traceEvents":[{}]}`, []string{"\x00|||||||0+0|false|"}},
		{"odd types", `[{"ph":"X","name":7,"pid":null,"tid":[1],"ts":null,"args":3}]`, []string{"X||7|null|[1]|||0+0|false|3"}},
		{"last wins", `[{"name":"a","name":"b"}]`, []string{"\x00||b|||||0+0|false|"}},
		{"two arrays", `{"traceEvents":[{"ts":1}],"traceEvents":[{"ts":2}]}`,
			[]string{"\x00|||||||1000+0|true|", "\x00|||||||2000+0|true|"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := readAll(t, write(t, "x.json", []byte(test.text)))
			if err != io.EOF {
				t.Fatal(err)
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestReaderMetadata(t *testing.T) {
	_, r, err := readAll(t, write(t, "x.json", []byte(twoEvents)))
	if err != io.EOF {
		t.Fatal(err)
	}
	var got []string
	for _, m := range r.Metadata() {
		got = append(got, m.Key+"="+string(m.Raw))
	}
	want := `schemaVersion=1 a"b={"x": [1, 2]} traceEvents= baseTimeNanoseconds=1790857026000000000 traceName="x"`
	if strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
	if r.Base() != 1790857026000000000 {
		t.Errorf("base %d", r.Base())
	}
}

func TestArg(t *testing.T) {
	e := Event{Args: []byte(`{"External id": 12, "s": "34", "Input Dims": [[1, 2], []], "f": 1.5, "nil": null}`)}
	for _, test := range []struct {
		name, raw string
		n         int64
		isInt     bool
	}{
		{"External id", "12", 12, true},
		{"s", `"34"`, 34, true},
		{"Input Dims", "[[1, 2], []]", 0, false},
		{"f", "1.5", 0, false},
		{"nil", "null", 0, false},
		{"absent", "", 0, false},
	} {
		raw, _ := e.Arg(test.name)
		n, ok := e.ArgInt(test.name)
		if string(raw) != test.raw || n != test.n || ok != test.isInt {
			t.Errorf("%s: %s, %d, %v", test.name, raw, n, ok)
		}
	}
	for _, args := range []string{"", "{}", "[1]", "3", `{"a"`} {
		if raw, ok := (&Event{Args: []byte(args)}).Arg("a"); ok {
			t.Errorf("args %s: a is %s", args, raw)
		}
	}
}

func TestReaderRejects(t *testing.T) {
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	for _, test := range []struct {
		name, text string
		kind       error
		detail     string
	}{
		{"empty", "", ErrTruncated, "not closed"},
		{"no JSON", "hello", ErrFormat, "neither an object nor an array"},
		{"no events", `{"a": 1}`, ErrFormat, "no traceEvents"},
		{"events no array", `{"traceEvents": null}`, ErrFormat, "traceEvents is not an array"},
		{"event no object", `{"traceEvents": [{}, 3]}`, ErrFormat, "not an object"},
		{"comma missing", `{"traceEvents": [{} {}]}`, ErrFormat, "comma"},
		{"comma too many", `{"traceEvents": [{},]}`, ErrFormat, "not an object"},
		{"key missing", `{3: 1}`, ErrFormat, "key"},
		{"colon missing", `{"a" 1}`, ErrFormat, "colon"},
		{"text behind", `{"traceEvents": []} x`, ErrFormat, "after the end"},
		{"ts a word", `[{"ts": "soon"}]`, ErrFormat, "malformed event"},
		{"ts an object", `[{"ts": {}}]`, ErrFormat, "malformed event"},
		{"ts too big", `[{"ts": 1e30}]`, ErrFormat, "malformed event"},
		{"ph a number", `[{"ph": 3}]`, ErrFormat, "malformed event"},
		{"brackets crossed", `[{"args": {]}}]`, ErrFormat, "malformed event"},
		{"base no number", `{"baseTimeNanoseconds": "x", "traceEvents": []}`, ErrFormat, "baseTimeNanoseconds"},
		{"event too deep", `[{"args": ` + "[" + deep + "]" + `}]`, ErrLimit, "nesting of one event (limit 256)"},
		{"value too deep", `{"a": ` + "[" + deep + "]" + `}`, ErrLimit, "nesting of one top-level value (limit 256)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := readAll(t, write(t, "x.json", []byte(test.text)))
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.detail) {
				t.Errorf("got %v, want %v with %q", err, test.kind, test.detail)
			}
		})
	}
}

func TestReaderLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("needs 200 MB of memory")
	}
	long := strings.Repeat("x", maxValue)
	for name, text := range map[string]string{
		"event":           `[{"name": "` + long + `"}]`,
		"top-level value": `{"a": "` + long + `"}`,
	} {
		_, _, err := readAll(t, write(t, "x.json", []byte(text)))
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "size of one "+name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestReaderTruncated cuts a file at each of its bytes: every event that is
// whole is read, then the error is ErrTruncated with the offset.
func TestReaderTruncated(t *testing.T) {
	text := strings.TrimSpace(twoEvents)
	for n := range len(text) {
		events, _, err := readAll(t, write(t, "x.json", []byte(text[:n])))
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, ErrTruncated) || e.Offset > int64(n) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		want := strings.Count(text[:n], "\n  {") // an event's start; its end closes the line
		if n < strings.Index(text, `]}},`)+3 {
			want = 0
		} else if n < strings.Index(text, "13}")+3 {
			want = 1
		}
		if len(events) != want {
			t.Fatalf("cut at %d: %d events, want %d", n, len(events), want)
		}
	}
}

func TestReaderTruncatedStream(t *testing.T) {
	var z bytes.Buffer
	enc, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	enc.Write([]byte(twoEvents))
	enc.Close()
	for name, data := range map[string][]byte{"gzip": gzipped(t, []byte(twoEvents)), "zstd": z.Bytes()} {
		if events, _, err := readAll(t, write(t, "x", data)); err != io.EOF || len(events) != 2 {
			t.Fatalf("%s: %d events, %v", name, len(events), err)
		}
		for n := 4; n < len(data); n++ {
			if _, _, err := readAll(t, write(t, "x", data[:n])); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%s cut at %d of %d: %v", name, n, len(data), err)
			}
		}
		damaged := bytes.Clone(data)
		damaged[len(damaged)-6] ^= 1
		if _, _, err := readAll(t, write(t, "x", damaged)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s damaged: %v", name, err)
		}
	}
}

func TestOpenMissing(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := readAll(t, t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}

// TestReaderAgainstEncodingJSON reads the real files with both.
func TestReaderAgainstEncodingJSON(t *testing.T) {
	for _, path := range realFiles(t) {
		if strings.HasSuffix(path, "diff-test.json.gz") || testing.Short() && !strings.HasPrefix(path, "testdata") {
			continue // as big as its pair, and of the same kind
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			want := decode(t, path)
			r, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for i := range want.events {
				e, err := r.Next()
				if err != nil {
					t.Fatalf("event %d: %v", i, err)
				}
				if diff := differs(e, &want.events[i]); diff != "" {
					t.Fatalf("event %d: %s differs: %s", i, diff, e.Raw)
				}
			}
			if _, err := r.Next(); err != io.EOF {
				t.Fatal(err)
			}
			for _, m := range r.Metadata() {
				if m.Raw != nil && !bytes.Equal(m.Raw, want.members[m.Key]) {
					t.Errorf("%s = %s, want %s", m.Key, m.Raw, want.members[m.Key])
				}
			}
			if len(r.Metadata()) != len(want.members) {
				t.Errorf("%d top-level keys, want %d", len(r.Metadata()), len(want.members))
			}
		})
	}
}

func differs(e *Event, want *decodedEvent) string {
	switch {
	case string(e.Raw) != string(want.raw):
		return "raw"
	case string(e.Phase) != want.Ph:
		return "ph"
	case string(e.Category) != want.Cat || string(e.Name) != want.Name || string(e.Bind) != want.BP:
		return "text"
	case string(e.PID) != plainText(want.PID) || string(e.TID) != plainText(want.TID) || string(e.ID) != plainText(want.ID):
		return "id"
	case e.Timed != (want.TS != "") || e.TS != nanos(want.TS) || e.Dur != nanos(want.Dur):
		return "time"
	}
	if string(e.Args) != string(want.Args) {
		return "args"
	}
	args := want.args()
	for _, key := range []string{"correlation", "External id", "Input Dims"} {
		if raw, _ := e.Arg(key); string(raw) != string(args[key]) {
			return key
		}
	}
	return ""
}

func plainText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// nanos is microseconds in decimal as ns, exactly.
func nanos(n json.Number) int64 {
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return 0
	}
	r.Mul(r, big.NewRat(1000, 1))
	return new(big.Int).Quo(r.Num(), r.Denom()).Int64()
}

// realFiles are the files in testdata and, where they are there and -short is
// not given, all shared ones.
func realFiles(t testing.TB) []string {
	t.Helper()
	var files []string
	patterns := []string{"testdata/*.json.gz", "../../../shared/traces/*/*.json.gz", "../../../shared/traces/*/*/*.json.gz"}
	if testing.Short() {
		patterns = patterns[:1]
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 6 {
		t.Fatalf("only %d files", len(files))
	}
	return files
}

// FuzzReader reads anything: no panic, no endless loop, and whatever
// encoding/json takes for a trace has as many events here.
func FuzzReader(f *testing.F) {
	for _, s := range []string{twoEvents, `[{"ph":"X","ts":"1.5"}]`, `{"traceEvents":[]}`, `{"traceEvents":[{"args":{"a":[{}]}}],"b":"\ud83d"}`, `[{},{`, `{"a":`} {
		f.Add([]byte(s))
		f.Add(gzipped(f, []byte(s)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := write(t, "x", data)
		events, _, err := readAll(t, path)
		var whole struct{ TraceEvents []map[string]json.RawMessage }
		valid := json.Unmarshal(data, &whole) == nil && bytes.Contains(data, []byte(`"traceEvents":[`)) && !bytes.Contains(data, []byte("null"))
		if valid && err == io.EOF && bytes.Count(data, []byte("raceEvents")) == 1 && len(events) != len(whole.TraceEvents) {
			t.Errorf("%d events, want %d", len(events), len(whole.TraceEvents))
		}
		if err == io.EOF {
			if err := Complete(t.Context(), path); err != nil {
				t.Errorf("read to its end, but: %v", err)
			}
		}
		s, err := Scan(t.Context(), path)
		if err == nil && s.Events != len(events) {
			t.Errorf("scan has %d events, reader %d", s.Events, len(events))
		}
		if err == nil && len(s.Passes) > 0 {
			if _, err := Trim(t.Context(), path, path+".trimmed", cutOf(s.Passes, 0, len(s.Passes)-1)); err != nil {
				var e *Error
				if !errors.As(err, &e) && !strings.Contains(err.Error(), "window ends") {
					t.Error(err)
				}
			}
		}
	})
}
