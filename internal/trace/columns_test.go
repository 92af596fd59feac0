package trace

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// plainEvent is an event as columns need it, whoever read it.
type plainEvent struct {
	ph, cat, name, pid, tid string
	ts, dur                 int64
	timed                   bool
	args                    map[string]string // raw
}

func (e *plainEvent) int(arg string) int64 {
	n, _ := parseInt([]byte(e.args[arg]))
	return n
}

// plainLane is a lane as a naive reading has it.
type plainLane struct {
	PID, TID, Process, Thread string
	Device                    bool
	Spans                     []plainSpan
}

type plainSpan struct {
	Start, Dur            int64
	Name                  string
	Kind                  Kind
	Correlation, External int64
	FLOPs                 int64
}

// naiveColumns reads events into lanes without any care for time or memory.
func naiveColumns(events []plainEvent) ([]plainLane, []MemoryPoint) {
	lanes := map[laneKey]*plainLane{}
	process, thread := map[string]string{}, map[[2]string]string{}
	var points []MemoryPoint
	for i := range events {
		e := &events[i]
		if text := e.args["name"]; e.ph == "M" && len(text) >= 2 && text[0] == '"' {
			label := string(appendUnquoted(nil, []byte(text[1:len(text)-1])))
			switch e.name {
			case "process_name":
				process[e.pid] = label
			case "thread_name":
				thread[[2]string{e.pid, e.tid}] = label
			}
		}
		if !e.timed {
			continue
		}
		if e.ph == "i" && e.name == "[memory]" {
			points = append(points, MemoryPoint{At: e.ts, Bytes: e.int("Bytes"), Allocated: e.int("Total Allocated"), Reserved: e.int("Total Reserved"),
				DeviceType: int32(e.int("Device Type")), DeviceID: int32(e.int("Device Id"))})
		}
		kind, ok := naiveKind(e.cat)
		if e.ph != "X" || !ok {
			continue
		}
		s := plainSpan{Start: e.ts, Dur: e.dur, Name: e.name, Kind: kind}
		if kind != HostAnnotation && kind != DeviceAnnotation {
			s.External = e.int("External id")
		}
		if kind != Operator {
			s.Correlation = e.int("correlation")
		} else {
			s.FLOPs = naiveFLOPs(e)
		}
		key := laneKey{e.pid, e.tid, kind >= Kernel}
		if lanes[key] == nil {
			lanes[key] = &plainLane{PID: e.pid, TID: e.tid, Device: key.device}
		}
		lanes[key].Spans = append(lanes[key].Spans, s)
	}
	var all []plainLane
	for _, l := range lanes {
		l.Process, l.Thread = process[l.PID], thread[[2]string{l.PID, l.TID}]
		slices.SortStableFunc(l.Spans, func(a, b plainSpan) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.Dur, a.Dur)) })
		naiveInnermost(l.Spans)
		all = append(all, *l)
	}
	slices.SortFunc(all, func(a, b plainLane) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.TID, b.TID), cmp.Compare(side(a.Device), side(b.Device)))
	})
	slices.SortStableFunc(points, func(a, b MemoryPoint) int { return cmp.Compare(a.At, b.At) })
	return all, points
}

func naiveKind(cat string) (Kind, bool) {
	kinds := map[string]Kind{"cpu_op": Operator, "user_annotation": HostAnnotation, "kernel": Kernel, "concurrent_kernel": Kernel, "hpu_op": Kernel,
		"collective_comm": Kernel, "gpu_memcpy": Copy, "gpu_memset": Fill, "gpu_user_annotation": DeviceAnnotation}
	if strings.HasSuffix(cat, "_runtime") || strings.HasSuffix(cat, "_driver") {
		return Launch, true
	}
	k, ok := kinds[cat]
	return k, ok
}

// naiveFLOPs counts as flopsOf should, where dimensions are lists of numbers.
func naiveFLOPs(e *plainEvent) int64 {
	for _, arg := range []string{"flops", "FLOPs"} {
		if n := e.int(arg); n > 0 {
			return n
		}
	}
	var dims []json.RawMessage
	json.Unmarshal([]byte(e.args["Input Dims"]), &dims)
	of := func(i int) (sizes []int64) {
		if i >= len(dims) || json.Unmarshal(dims[i], &sizes) != nil {
			return nil
		}
		return sizes
	}
	inputs := map[string][2]int{"aten::mm": {0, 1}, "aten::bmm": {0, 1}, "aten::addmm": {1, 2}, "aten::baddbmm": {1, 2}, "aten::linear": {0, 1}}
	n := 1.0
	switch e.name {
	case "aten::mul", "aten::add":
		if of(0) == nil {
			return 0
		}
		for _, size := range of(0) {
			n *= float64(size)
		}
	case "aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::linear":
		a, b := of(inputs[e.name][0]), of(inputs[e.name][1])
		if len(a) == 0 || len(b) < 2 {
			return 0
		}
		for _, size := range a {
			n *= float64(size)
		}
		width := b[len(b)-1]
		if e.name == "aten::linear" {
			width = b[0]
		}
		n *= 2 * float64(width)
	default:
		return 0
	}
	return int64(n)
}

// naiveInnermost drops the FLOPs of what is counted within itself.
func naiveInnermost(spans []plainSpan) {
	small := func(s *plainSpan) bool { return s.Name == "aten::mul" || s.Name == "aten::add" }
	has := make([]bool, len(spans))
	for i := range spans {
		has[i] = spans[i].FLOPs > 0
	}
	for i := range spans {
		outer := &spans[i]
		if !has[i] {
			continue
		}
		for k := i + 1; k < len(spans) && spans[k].Start < outer.Start+outer.Dur; k++ {
			if has[k] && (small(outer) || !small(&spans[k])) {
				outer.FLOPs = 0
			}
		}
	}
}

// plainColumns makes the same of what ReadColumns gave. Ids beyond 31 bits are -1.
func plainColumns(c *Columns) []plainLane {
	var all []plainLane
	for _, l := range c.Lanes {
		p := plainLane{PID: l.PID, TID: l.TID, Process: l.Process, Thread: l.Thread, Device: l.Device}
		for s := range l.Spans() {
			p.Spans = append(p.Spans, plainSpan{s.Start, s.Dur, c.Name(s.Name), s.Kind, narrow(int64(s.Correlation)), narrow(int64(s.External)), s.FLOPs})
		}
		all = append(all, p)
	}
	return all
}

func narrow(id int64) int64 {
	if id < 0 || id >= 1<<31 {
		return -1
	}
	return id
}

func sameColumns(t *testing.T, events []plainEvent, c *Columns) {
	t.Helper()
	lanes, points := naiveColumns(events)
	for i := range lanes {
		for k := range lanes[i].Spans {
			s := &lanes[i].Spans[k]
			s.Correlation, s.External = narrow(s.Correlation), narrow(s.External)
		}
	}
	if diff := gocmp.Diff(lanes, plainColumns(c)); diff != "" {
		t.Errorf("lanes: %.4000s", diff)
	}
	if diff := gocmp.Diff(points, c.Memory); diff != "" {
		t.Errorf("memory: %.4000s", diff)
	}
	if c.Summary.Events != len(events) {
		t.Errorf("%d events, want %d", c.Summary.Events, len(events))
	}
}

// TestColumnsReal holds the columns of all shared files against encoding/json.
func TestColumnsReal(t *testing.T) {
	thorough(t)
	spans, points, counted := 0, 0, 0
	for _, file := range sharedFiles(t) {
		t.Run(file, func(t *testing.T) {
			path := shared(t, file)
			d := decode(t, path)
			events := make([]plainEvent, len(d.events))
			for i := range d.events {
				events[i] = plainOf(&d.events[i])
			}
			c := readColumns(t, path)
			sameColumns(t, events, c)
			base, _ := parseInt(d.members["baseTimeNanoseconds"])
			if c.Base != base {
				t.Errorf("base %d, want %d", c.Base, base)
			}
			if diff := gocmp.Diff(scan(t, path, NoEvidence), c.Summary); diff != "" {
				t.Errorf("not the summary of Scan: %s", diff)
			}
			points += len(c.Memory)
			for _, l := range c.Lanes {
				spans += l.Len()
				for s := range l.Spans() {
					if s.FLOPs > 0 {
						counted++
					}
				}
			}
		})
	}
	t.Logf("%d spans, %d of them with FLOPs, %d memory points", spans, counted, points)
	if spans > 0 && (spans < 250000 || points < 8000 || counted < 5000) {
		t.Errorf("%d spans, %d memory points, %d spans with FLOPs: the files have more", spans, points, counted)
	}
}

func plainOf(e *decodedEvent) plainEvent {
	p := plainEvent{ph: e.Ph, cat: e.Cat, name: e.Name, pid: plainText(e.PID), tid: plainText(e.TID), ts: nanos(e.TS), dur: max(nanos(e.Dur), 0),
		timed: e.TS != "", args: map[string]string{}}
	for k, v := range e.args() {
		p.args[k] = string(v)
	}
	return p
}

func readColumns(t testing.TB, path string) *Columns {
	t.Helper()
	c, err := ReadColumns(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestColumnsOrder: in whatever order a thread's spans stand in the file, those that
// start first come first, and of those that start together the longer.
func TestColumnsOrder(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for _, c := range []struct {
		name   string
		n      int
		starts func(i int) int
	}{
		{"as they stand", 9000, func(i int) int { return i }},
		{"two runs", 20000, func(i int) int { return i % 10000 * 3 }},
		{"runs of several lengths", 30000, func(i int) int { return i * i % 100000 / 7 }},
		{"many runs that follow one another", 50000, func(i int) int { return i/100*50 + i%100 }},
		{"runs beside each other", 40000, func(i int) int { return i%400*100 + i/400 }},
		{"backwards", 10000, func(i int) int { return -i }},
		{"by chance", 10000, func(int) int { return rng.Intn(1000) }},
		{"all at once", 5000, func(int) int { return 7 }},
		{"blocks to the end", 2 * spansPerBlock, func(i int) int { return i % spansPerBlock }},
		{"few", 5, func(i int) int { return -i % 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &Lane{of: &Columns{}, sorted: true}
			type short struct{ start, dur int64 }
			var want []short
			for i := range c.n {
				s := short{int64(c.starts(i)), int64(rng.Intn(4))}
				if i%50 == 0 {
					s.dur += 1 << 33
				}
				l.add(record{start: s.start, name: uint32(i) | uint32(Kernel)<<nameBits}, s.dur)
				want = append(want, s)
			}
			byNumber := slices.Clone(want)
			slices.SortStableFunc(want, func(a, b short) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.dur, a.dur)) })
			had := l.has
			l.sort()
			if l.Len() != c.n || l.has > had+spansPerBlock {
				t.Fatalf("%d spans in room for %d, which was for %d", l.Len(), l.has, had)
			}
			seen := make([]bool, c.n)
			for i := range c.n {
				s := l.At(i)
				if got := (short{s.Start, s.Dur}); got != want[i] || got != byNumber[s.Name] {
					t.Fatalf("span %d: %+v, want %+v", i, got, want[i])
				}
				seen[s.Name] = true
			}
			if slices.Contains(seen, false) {
				t.Error("a span is lost")
			}
			for _, at := range []int64{-1e6, 0, 7, 500, 1e9} {
				i := l.From(at)
				if i > 0 && l.At(i-1).Start >= at || i < l.Len() && l.At(i).Start < at {
					t.Errorf("from %d is %d", at, i)
				}
			}
		})
	}
}

func span4(cat, name string, ts, dur any, args string) string {
	return fmt.Sprintf(`{"ph":"X","cat":%q,"name":%q,"pid":1,"tid":2,"ts":%v,"dur":%v,"args":{%s}}`, cat, name, ts, dur, args)
}

// TestColumnsForms: what is rare in files of today.
func TestColumnsForms(t *testing.T) {
	read := func(t *testing.T, text string) *Columns {
		t.Helper()
		return readColumns(t, write(t, "x.json", []byte(text)))
	}
	t.Run("long", func(t *testing.T) {
		c := read(t, "["+span4("cpu_op", "a", 1, "2147483.648", "")+","+span4("cpu_op", "b", 2, "2147483.647", "")+","+span4("kernel", "k", 3, "9000000000000", "")+"]")
		if a, b, k := c.Lanes[0].At(0), c.Lanes[0].At(1), c.Lanes[1].At(0); a.Dur != 1<<31 || b.Dur != 1<<31-1 || k.End() != 9000000000003000 {
			t.Error(a, b, k)
		}
	})
	t.Run("wide ids", func(t *testing.T) {
		ids := []int64{2147483647, 2147483648, -1, 1 << 40, 1<<40 + 1, 1<<40 + 1000, 1<<62 + 5, 4294967297, 0}
		var events []string
		for i, id := range ids {
			events = append(events, span4("cuda_runtime", "l", i, 1, fmt.Sprintf(`"correlation":%d`, id)))
			events = append(events, span4("kernel", "k", 100-i, 1, fmt.Sprintf(`"External id":%d,"correlation": %d`, id, id)))
		}
		c := read(t, "["+strings.Join(events, ",")+"]")
		host, device := c.Lanes[0], c.Lanes[1]
		numbers := map[uint32]bool{}
		for i, id := range ids {
			h, d := host.At(i), device.At(len(ids)-1-i)
			if h.Correlation != d.Correlation || d.External != d.Correlation {
				t.Errorf("%d: %+v, %+v", id, h, d)
			}
			if (h.Correlation >= 1<<31) != (id < 0 || id >= 1<<31) || (h.Correlation == 0) != (id == 0) {
				t.Errorf("%d is %d", id, h.Correlation)
			}
			numbers[h.Correlation] = true
		}
		if len(numbers) != len(ids) {
			t.Errorf("%d numbers for %d ids", len(numbers), len(ids))
		}
	})
	t.Run("base at the end", func(t *testing.T) {
		c := read(t, `{"traceEvents":[`+span4("cpu_op", "a", "1.5", 1, "")+`],"baseTimeNanoseconds":1700000000000000000}`)
		if c.Base != 17e17 || c.Lanes[0].At(0).Start != 1500 || c.Summary.First != 17e17+1500 {
			t.Error(c.Base, c.Lanes[0].At(0), c.Summary.First)
		}
	})
	t.Run("bare", func(t *testing.T) {
		c := read(t, `[{"ph":"M","name":"process_name","pid":7,"args":{"name":"Py\tthon"}},`+
			`{"ph":"X","cat":"cpu_op","name":"a","pid":7,"tid":"t","ts":"1700000000000000.123","dur":"0.5"},{"ph":"M","name":"thread_name","pid":7,"tid":"t","args":{"name":"main"}}]`)
		l := c.Lanes[0]
		if s := l.At(0); s.Start != 1700000000000000123 || s.Dur != 500 || l.PID != "7" || l.TID != "t" || l.Process != "Py\tthon" || l.Thread != "main" {
			t.Error(s, l.PID, l.TID, l.Process, l.Thread)
		}
	})
	t.Run("truncated", func(t *testing.T) {
		plain := content(t, "testdata/vllm-0.32.0-four-steps.json.gz")
		whole := readColumns(t, write(t, "whole.json", plain))
		c, err := ReadColumns(t.Context(), write(t, "half.json", plain[:len(plain)/2]))
		var damaged *Error
		if !errors.As(err, &damaged) || damaged.Kind != ErrTruncated {
			t.Fatal(err)
		}
		if n, most := c.Lanes[0].Len(), whole.Lanes[0].Len(); n < most/4 || n >= most || len(c.Summary.Passes) == 0 {
			t.Errorf("%d spans of %d, %d passes", n, most, len(c.Summary.Passes))
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if c := read(t, `{"traceEvents":[]}`); len(c.Lanes) != 0 || c.Summary.Evidence != NoEvidence {
			t.Errorf("%+v", c)
		}
		if c, err := ReadColumns(t.Context(), filepath.Join(t.TempDir(), "none")); c != nil || err == nil {
			t.Error(c, err)
		}
	})
}

// TestColumnsPasses: passes are found in the columns as Scan finds them, by any evidence.
func TestColumnsPasses(t *testing.T) {
	for _, file := range sharedFiles(t) {
		t.Run(file, func(t *testing.T) {
			path := shared(t, file)
			for _, e := range []Evidence{Annotation, Scope, Structure} {
				c, err := ReadColumnsWith(t.Context(), path, ScanOptions{Evidence: e})
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(scan(t, path, e), c.Summary); diff != "" {
					t.Errorf("%s: %s", e, diff)
				}
			}
		})
	}
}

// FuzzColumns: the columns of any file are those of a naive reading of its events.
func FuzzColumns(f *testing.F) {
	for _, events := range [][]string{
		{span4("cpu_op", "aten::linear", 1, 9, `"External id":1,"Input Dims":[[4,8],[16,8],[16]]`), span4("cpu_op", "aten::addmm", 2, 3, `"Input Dims":[[16],[4,8],[8,16],[],[]]`)},
		{span4("kernel", "k", 7, 2147483.648, `"correlation":4294967296`), span4("cuda_runtime", "cudaGraphLaunch", 3, 1, `"correlation":4294967296,"External id":-3`)},
		{span4("user_annotation", "execute_new_1_cached_0", 7, 2, ""), span4("gpu_memcpy", "Memcpy", 3, 1, ""), span4("cpu_op", "aten::mul", 3, 5, `"flops":7`)},
		{span4("cpu_op", "b", `"5.5"`, `"1"`, ""), span4("cpu_op", "a", `"5.5"`, `"2"`, ""), span4("cpu_op", "c", -5, 9, "")},
		{`{"ph":"i","name":"[memory]","ts":5,"args":{"Bytes":-16,"Total Allocated":7,"Total Reserved":9,"Device Type":1,"Device Id":-1}}`,
			`{"ph":"M","name":"thread_name","pid":1,"tid":2,"args":{"name":"x\"y"}}`, span4("cpu_op", "a", 1, 0, "")},
	} {
		f.Add([]byte("[" + strings.Join(events, ",") + "]"))
		f.Add([]byte(`{"traceEvents":[` + strings.Join(events, ",") + `],"baseTimeNanoseconds":5}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := write(t, "x", data)
		r, err := Open(path)
		if err != nil {
			return
		}
		defer r.Close()
		var events []plainEvent
		for {
			e, nextErr := r.Next()
			if err = nextErr; err != nil {
				break
			}
			p := plainEvent{ph: string(e.Phase), cat: string(e.Category), name: string(e.Name), pid: string(e.PID), tid: string(e.TID),
				ts: e.TS, dur: e.Dur, timed: e.Timed, args: map[string]string{}}
			for _, arg := range []string{"name", "correlation", "External id", "Input Dims", "flops", "FLOPs", "Bytes", "Total Allocated", "Total Reserved", "Device Type", "Device Id"} {
				if raw, ok := e.Arg(arg); ok {
					p.args[arg] = string(raw)
				}
			}
			events = append(events, p)
		}
		c, got := ReadColumns(t.Context(), path)
		if (got == nil) != (err == io.EOF) || got != nil && got.Error() != err.Error() {
			t.Fatalf("got %v, want %v", got, err)
		}
		ignoreShapes(events, c)
		sameColumns(t, events, c)
	})
}

// ignoreShapes takes FLOPs out of what is compared: TestFLOPs holds shapes of any kind.
func ignoreShapes(events []plainEvent, c *Columns) {
	for i := range events {
		for _, arg := range []string{"Input Dims", "flops", "FLOPs"} {
			delete(events[i].args, arg)
		}
	}
	clear(c.flops)
}
