package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"profjob/internal/analysis"
	"profjob/internal/archive"
	"profjob/internal/load"
	"profjob/internal/trace"
)

func pointer[T any](v T) *T { return &v }

// small is a page with something of everything.
func small() Page {
	begin := time.Date(2026, 11, 23, 3, 15, 0, 0, time.UTC)
	device := &analysis.DeviceTime{Start: 1, Span: 9_000_000, Busy: 8_100_000, Idle: 900_000, Compute: 8_000_000, Kernels: 40}
	spread := analysis.Spread{Count: 2, Sum: 30_000_000, Min: 10_000_000, P50: 10_000_000, P90: 20_000_000, P99: 20_000_000, Max: 20_000_000}
	decode := analysis.Group{Class: trace.Decode, Steps: 2, Duration: spread, Device: device, DeviceSpan: &spread,
		Share:  []analysis.Part{{Name: "compute", Time: 20_000_000}, {Name: "device idle", Time: 6_000_000}, {Name: "host", Time: 4_000_000}},
		Launch: &analysis.Launching{Calls: 20, Time: 200_000, Delay: spread, Short: 3}}
	decode.Batches = []analysis.Group{{Class: trace.Decode, Batch: "4..7", BatchOf: "tokens", Steps: 2, Duration: spread, Device: device}}
	total := decode
	total.Class, total.Batches = "", nil
	total.Operators = []analysis.Operator{{Name: "aten::mm", Category: "gemm", Count: 80, Self: 4_000_000, Total: 5_000_000, Device: 7_000_000, PerStep: []int64{1_000_000, 3_000_000}},
		{Name: "aten::add", Category: "elementwise", Count: 8, Self: 400_000, Total: 400_000}}
	total.Kernels = []analysis.Kernel{{Name: "nvjet_tst_64x8_64x16_4x1_v_bz_TNN", Category: "gemm", Count: 80, Time: 7_000_000, Min: 50_000, Max: 90_000, PerStep: []int64{3_000_000, 4_000_000}}}
	total.Categories = []analysis.Category{{Name: "gemm", Count: 80, Time: 7_000_000}}
	step := func(i int, class trace.Class, tokens, duration int64) analysis.Step {
		return analysis.Step{Index: i, Name: fmt.Sprintf("execute_context_0(0)_generation_%d(%d)", tokens, tokens), Class: class, Requests: tokens, Tokens: tokens, ContextTokens: 0,
			GenerationTokens: tokens, Whole: true, Start: begin.UnixNano(), Span: duration, Duration: duration, OperatorTime: duration / 2, Device: device}
	}
	rank := func(n int) analysis.Trace {
		return analysis.Trace{File: fmt.Sprintf("rounds/01/attempt-1/traces/server/host-8000/rank%d.json.gz", n), FileBytes: 5 << 20, Host: "gpu-1", EngineVersion: "0.32.0",
			Rank: pointer(n), WorldSize: pointer(2), Activities: trace.Activities{CPU: true, Device: true}, Options: trace.Options{Shapes: true}, Events: 12_345,
			Start: begin.UnixNano(), End: begin.UnixNano() + 40_000_000, Evidence: trace.Annotation,
			Steps:   []analysis.Step{step(0, trace.Decode, 4, 10_000_000), step(1, trace.Decode, analysis.NotKnown, 20_000_000), step(2, trace.Idle, 0, 900_000_000)},
			Total:   total,
			Classes: []analysis.Group{decode, {Class: trace.Idle, Steps: 1, Duration: analysis.Spread{Count: 1, Sum: 900_000_000, Min: 900_000_000, P50: 900_000_000, P90: 900_000_000, P99: 900_000_000, Max: 900_000_000}}},
			Memory:  []analysis.MemoryPeak{{Device: "cuda:0", Peak: 3 << 30, Reserved: 4 << 30, At: begin.UnixNano() + 1_000_000, Step: 0, Allocated: 9 << 30, Allocations: 77}}}
	}
	traces := []analysis.Trace{rank(0), rank(1)}
	traces[1].Problem = "unexpected end of the file at byte 4711"
	distribution := &load.Distribution{Count: 98, Mean: 21_000_000, Min: 9_000_000, P50: 20_000_000, P90: 30_000_000, P95: 33_000_000, P99: 41_000_000, Max: 50_000_000}
	return Page{
		Run: &Run{Job: "nightly", ID: "20261123T031500Z-aaaaaa", Status: archive.StatusWindowNotMet, StartedAt: begin, FinishedAt: begin.Add(93 * time.Second), Host: "bench-1", Tool: "1.2.3",
			Targets: []archive.Target{{Name: "server", Engine: "vllm", Version: "0.32.0", Endpoints: []string{"http://host:8000"}}},
			Rounds: []archive.Round{{Number: 1, Attempts: []archive.Attempt{{Number: 1, Error: "the server answered 500"}, {Number: 2}},
				Windows: []archive.Window{
					{Target: "server", Endpoint: pointer("http://host:8000"), Rank: pointer(0), Attempt: 2, Strategy: "config", Evidence: "annotation", Asked: archive.Asked{Kind: "steps", Steps: 2, Delay: 10}, Got: archive.Got{Steps: 2, RecordedSteps: 9, Trimmed: true, IdlePasses: 1, DurationNS: 30_000_000}, Exact: true},
					{Target: "server", Rank: pointer(1), Attempt: 2, Strategy: "config", Evidence: "annotation", Asked: archive.Asked{Kind: "tokens", Steps: 2, Threshold: 64, Phase: "decode"}, Got: archive.Got{Steps: 1}, Reason: "the file is damaged"},
				}}},
			Record:   archive.Record{Asked: archive.Options{Shapes: true, Memory: true}, Seen: &archive.Options{Shapes: true}},
			Loads:    []Load{{Round: 1, Attempt: 2, Summary: load.Summary{Requests: 100, Completed: 98, Failed: 2, Start: begin, Duration: 60_000_000_000, InputTokens: 9800, OutputTokens: 4900, RequestRate: 1.633, InputRate: 163.3, OutputRate: 81.7, TTFT: distribution, TPOT: distribution, ITL: distribution, E2E: distribution, Errors: []load.ErrorCount{{Error: "connection reset", Count: 2}}}}},
			Warnings: []string{"the clock of the server is 2 s behind"},
		},
		Sets: []analysis.Set{{FormatVersion: 1, Round: 1, Target: "server", Traces: traces, Ranks: []analysis.RankSkew{
			{File: traces[0].File, Rank: 0, Collectives: 64, Wait: 3_000_000, Last: 4, Caused: 100_000, Steps: []analysis.RankStep{{Index: 0, Wait: 1_000_000}, {Index: 1, Wait: 2_000_000}}},
			{File: traces[1].File, Rank: 1, Collectives: 64, Wait: 100_000, Last: 60, Caused: 3_000_000}}}},
	}
}

// TestGolden is what users read.
func TestGolden(t *testing.T) {
	got := written(t, small())
	golden := filepath.Join("testdata", "small.html")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run with -update if this is meant:\n%s", diff)
	}
}

func TestSameBytes(t *testing.T) {
	first := written(t, small())
	for range 5 {
		if !bytes.Equal(first, written(t, small())) {
			t.Fatal("the same page gives other bytes")
		}
	}
}

// TestNothingFromOutside holds a page to what it is made of: no address is loaded, and
// nothing is carried out but its one script.
func TestNothingFromOutside(t *testing.T) {
	for name, p := range map[string]Page{"small": small(), "hostile": hostile(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			for _, n := range elements(t, written(t, p)) {
				switch n.Name.Local {
				case "link", "img", "iframe", "object", "embed", "base", "form", "image", "use", "foreignObject", "animate", "set":
					t.Errorf("there is a %s", n.Name.Local)
				}
				for _, a := range n.Attr {
					switch key := a.Name.Local; {
					case strings.HasPrefix(key, "on"), key == "style", key == "src", key == "srcset":
						t.Errorf("%s has %s=%q", n.Name.Local, key, a.Value)
					case key == "href" && !strings.HasPrefix(a.Value, "#") && !strings.HasPrefix(a.Value, "./"):
						t.Errorf("%s has %s=%q", n.Name.Local, key, a.Value)
					}
				}
			}
		})
	}
}

// elements are the elements of a page, which has its own script and style once each.
func elements(t *testing.T, page []byte) []xml.StartElement {
	t.Helper()
	text := string(page)
	for _, own := range []string{"<script>" + script + "</script>", "<style>" + style + "</style>"} {
		before, after, ok := strings.Cut(text, own)
		if !ok {
			t.Errorf("the page is without %.30q", own)
		}
		text = before + after
	}
	if strings.Contains(text, "<script") || strings.Contains(text, "<style") {
		t.Error("there is a script or a style of somebody else")
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var all []xml.StartElement
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			all = append(all, e.Copy())
		}
	}
}

// TestStructure holds what assistive technology stands on.
func TestStructure(t *testing.T) {
	ids, links := map[string]int{}, []string{}
	all := elements(t, written(t, small()))
	for i, n := range all {
		for _, a := range n.Attr {
			if a.Name.Local == "id" {
				ids[a.Value]++
			}
			if a.Name.Local == "href" && strings.HasPrefix(a.Value, "#") {
				links = append(links, a.Value[1:])
			}
		}
		switch n.Name.Local {
		case "table":
			if all[i+1].Name.Local != "caption" {
				t.Error("a table has no caption")
			}
		case "th":
			if len(n.Attr) == 0 || n.Attr[0].Name.Local != "scope" {
				t.Errorf("a heading has no scope: %v", n.Attr)
			}
		}
	}
	for id, times := range ids {
		if times > 1 {
			t.Errorf("the id %s is there %d times", id, times)
		}
	}
	for _, l := range links {
		if ids[l] == 0 {
			t.Errorf("#%s leads nowhere", l)
		}
	}
}

const evil = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\u202egnp.exe\u2066\x00\x1b[31m\"'`{{.}}\xff"

// hostile has what a server or a file might say to break the page.
func hostile() Page {
	p := small()
	long := evil + strings.Repeat("kernel<float, 4>\u202e", 60_000)
	r := p.Run
	r.Job, r.ID, r.Status, r.Host, r.Tool = long, evil, archive.Status(evil), evil, evil
	r.Targets[0] = archive.Target{Name: evil, Engine: evil, Version: evil, Endpoints: []string{"javascript:alert(1)", long}}
	r.Warnings, r.Errors = []string{long}, []string{evil}
	w := &r.Rounds[0].Windows[0]
	w.Target, w.Evidence, w.Strategy, w.Reason, w.Exact, w.Asked.Kind, w.Endpoint = evil, evil, evil, long, false, evil, pointer(evil)
	r.Rounds[0].Attempts[0].Error = long
	r.Loads[0].Summary.Errors[0].Error = long
	s := &p.Sets[0]
	s.Target = evil
	for i := range s.Traces {
		t := &s.Traces[i]
		t.File, t.Host, t.EngineVersion, t.Problem, t.Evidence = "javascript:"+evil, long, evil, long, trace.Evidence(evil)
		t.Steps[0].Name, t.Steps[0].Class, t.Classes[0].Class = long, trace.Class(evil), trace.Class(evil)
		t.Total.Operators[0].Name, t.Total.Operators[0].Category = long, evil
		t.Total.Kernels[0].Name, t.Total.Kernels[0].Category = long, evil
		t.Total.Categories[0].Name, t.Memory[0].Device = long, evil
		t.Classes[0].Share = []analysis.Part{{Name: long, Time: 1 << 62}, {Name: evil, Time: -5}}
		t.Classes[0].Batches[0].Batch = evil
	}
	p.Links = []Link{{File: evil, Path: "javascript:alert(1)"}, {File: s.Traces[0].File, Path: "//evil.example/x"}, {File: "x", Path: "../../a b?c#d:e%"}}
	return p
}

func TestHostileNames(t *testing.T) {
	page := written(t, hostile())
	if len(page) > 200_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
	if bytes.ContainsAny(page, "\u202e\u2066\x00\x1b") {
		t.Error("control characters came through")
	}
	if bytes.Contains(page, []byte("ZgotmplZ")) {
		t.Error("the layout puts a value where it cannot stand")
	}
	if bytes.Count(page, []byte("<script")) != 1 || bytes.Contains(page, []byte("<img")) {
		t.Error("markup came through")
	}
	if !bytes.Contains(page, []byte(`href="./../../a%20b%3Fc%23d:e%25"`)) {
		t.Error("a path with odd characters is not linked as it should be")
	}
}

// TestSize writes pages of traces that are larger than any page may be.
func TestSize(t *testing.T) {
	long := strings.Repeat("<&\"'", 4096)
	for _, traces := range []int{1, 8, 300} {
		for what, name := range map[string]string{"plain": "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*, 3ul>>(int)", "hostile": long} {
			t.Run(fmt.Sprintf("%d %s", traces, what), func(t *testing.T) {
				p := Page{Sets: []analysis.Set{{}}}
				var steps []analysis.Step
				for i := range 100_000 {
					steps = append(steps, analysis.Step{Index: i, Name: name, Class: trace.Decode, Tokens: 5, Requests: 5, Duration: int64(i) * 1000, Device: &analysis.DeviceTime{Busy: 5, Span: 9}})
				}
				perStep := make([]int64, len(steps))
				for i := range perStep {
					perStep[i] = int64(i)
				}
				var total analysis.Group
				for range 10_000 {
					total.Kernels = append(total.Kernels, analysis.Kernel{Name: name, Category: name, Count: 1, Time: 5, PerStep: perStep})
					total.Operators = append(total.Operators, analysis.Operator{Name: name, Category: name, Count: 1, Self: 5, PerStep: perStep})
					total.Categories = append(total.Categories, analysis.Category{Name: name, Time: 5})
				}
				for range traces {
					p.Sets[0].Traces = append(p.Sets[0].Traces, analysis.Trace{File: name, Problem: name, Steps: steps, Total: total})
				}
				page := written(t, p)
				if len(page) > MaxBytes {
					t.Errorf("the page has %d bytes", len(page))
				}
				if !bytes.Contains(page, []byte("Left out of the page")) || !bytes.Contains(page, []byte("do not fit")) {
					t.Error("the page does not say what was left out")
				}
				t.Logf("%d bytes", len(page))
			})
		}
	}
}

// TestTight leaves out rows until the page fits, and says so where none are left.
func TestTight(t *testing.T) {
	p := small()
	for range 300 {
		p.Run.Warnings = append(p.Run.Warnings, strings.Repeat("w", 600))
	}
	page, err := render(p, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	if len(page) > 50_000 || !bytes.Contains(page, []byte("Left out of the page")) {
		t.Errorf("the page has %d bytes", len(page))
	}
	if _, err := render(p, 1000); err == nil || !strings.Contains(err.Error(), "nothing more to leave out") {
		t.Errorf("got %v", err)
	}
}

func TestEmpty(t *testing.T) {
	noSteps := analysis.Set{Traces: []analysis.Trace{{File: "a.json", Total: analysis.Group{}}}}
	two := analysis.Set{Traces: []analysis.Trace{{File: "a.json"}, {File: "b.json"}}}
	for _, c := range []struct {
		name  string
		page  Page
		wants []string
	}{
		{"nothing", Page{}, []string{"outside of a run", "There are no traces", "There are no trace files", "tell nothing of the load"}},
		{"no steps, no device", Page{Sets: []analysis.Set{noSteps}}, []string{"No engine steps were found", "no device work", "whole trace", "a.json"}},
		{"a run that has just begun", Page{Run: &Run{}}, []string{"not ended", "No window was recorded", "has no load of its own"}},
		{"ranks without collectives", Page{Sets: []analysis.Set{two}}, []string{"no collectives in common"}},
		{"damaged", Page{Sets: []analysis.Set{{Traces: []analysis.Trace{{File: "a.json", Problem: "it ends at byte 5"}}}}}, []string{"Damaged traces", "it ends at byte 5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := string(written(t, c.page))
			for _, want := range c.wants {
				if !strings.Contains(page, want) {
					t.Errorf("it does not say %q", want)
				}
			}
		})
	}
}

func TestUnknownCounts(t *testing.T) {
	s := []analysis.Step{{Class: trace.Unknown, Requests: analysis.NotKnown, Tokens: analysis.NotKnown, Duration: 5}}
	page := written(t, Page{Sets: []analysis.Set{{Traces: []analysis.Trace{{File: "a", Steps: s, Classes: []analysis.Group{{Class: trace.Unknown, Steps: 1}}}}}}})
	if regexp.MustCompile(`>\s*-1\s*<|-1 tokens`).Match(page) || !bytes.Contains(page, []byte("– tokens")) {
		t.Error("a count that is not known is a number")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriteError(t *testing.T) {
	if err := Write(full{}, Page{}); err == nil || err.Error() != "write report: no space left" {
		t.Errorf("got %v", err)
	}
}

func TestReadLoads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run [1]*")
	for name, data := range map[string]string{
		"rounds/02/attempt-1/load.json": `{"requests": 7}`,
		"rounds/01/attempt-2/load.json": `{"requests": 5, "ttft_ns": {"p50": 12}}`,
		"rounds/01/attempt-1/load.json": `{"requests": `,
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadLoads(dir)
	if err == nil || !strings.Contains(err.Error(), filepath.Join("01", "attempt-1", "load.json")) {
		t.Errorf("the error is %v", err)
	}
	want := []Load{{1, 2, load.Summary{Requests: 5, TTFT: &load.Distribution{P50: 12}}}, {2, 1, load.Summary{Requests: 7}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
