package runner

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/guard"
	"profjob/internal/guard/guardtest"
	"profjob/internal/hostfs"
	"profjob/internal/hostfs/local"
	"profjob/internal/wire"
	"profjob/steps"
)

// fake is a plan step that does what a test says. What is nil does nothing.
type fake struct {
	id   string
	do   func(ctx context.Context, run *steps.Run) (any, error)
	undo func(ctx context.Context, run *steps.Run) error
}

func (f *fake) ID() string   { return f.id }
func (f *fake) Kind() string { return "fake" }

func (f *fake) Do(ctx context.Context, run *steps.Run) (any, error) {
	if f.do == nil {
		return nil, nil
	}
	return f.do(ctx, run)
}

func (f *fake) Undo(ctx context.Context, run *steps.Run) error {
	if f.undo == nil {
		return nil
	}
	return f.undo(ctx, run)
}

// keeper is a fake that keeps what others have recorded.
type keeper struct {
	fake
	keeps bool
}

func (k *keeper) Keeps(*steps.Run) bool { return k.keeps }

// note is the result of a fake.
type note struct {
	Text string `json:"text"`
}

func (n note) Summary() string { return "noted " + n.Text }

// script notes what fakes did, in order.
type script struct {
	mu    sync.Mutex
	lines []string
}

func (s *script) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *script) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, " ")
}

// step is a fake that notes its Do and its Undo, and fails with err.
func (s *script) step(id string, err error) *fake {
	return &fake{id: id,
		do:   func(context.Context, *steps.Run) (any, error) { s.add("do-%s", id); return nil, err },
		undo: func(context.Context, *steps.Run) error { s.add("undo-%s", id); return nil }}
}

// planOf makes a plan of plan steps outside of rounds, and seals it.
func planOf(planned ...steps.Step) *Plan {
	p := &Plan{FormatVersion: PlanVersion, Job: "job", Rounds: 1, Attempts: 3,
		Retry: Retry{Attempts: 3, Initial: wire.Duration(time.Second), Max: wire.Duration(time.Minute), Multiplier: 2}}
	for _, s := range planned {
		p.Steps = append(p.Steps, Planned{0, s})
	}
	return p.sealed()
}

// rounds adds a round of plan steps before the seal.
func (p *Plan) round(n int, planned ...steps.Step) *Plan {
	p.Steps = p.Steps[:len(p.Steps)-1]
	for _, s := range planned {
		p.Steps = append(p.Steps, Planned{n, s})
	}
	return p.sealed()
}

func (p *Plan) sealed() *Plan {
	p.Steps = append(p.Steps, Planned{0, &steps.Seal{Header: header("seal", 0)}})
	return p
}

// options are those of a run in a folder of the test's.
func options(t testing.TB, change ...func(*Options)) Options {
	t.Helper()
	o := Options{JobDir: t.TempDir(), Archive: t.TempDir(), Host: "host", Version: "v", Interrupts: &steps.Interrupts{}, Guard: localGuard(t),
		Clock: steps.SystemClock{}, Files: func(dir string) hostfs.FS { return local.New(dir) }}
	for _, c := range change {
		c(&o)
	}
	return o
}

// run carries out a plan.
func run(t testing.TB, p *Plan, change ...func(*Options)) Result {
	t.Helper()
	result, err := Run(t.Context(), p, options(t, change...))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// ended checks how a run ended; want is a part of its errors, empty for none.
func (r Result) ended(t testing.TB, status archive.Status, exit int, want string) {
	t.Helper()
	errs := strings.Join(r.Errors, "\n")
	if r.Status != status || r.Exit != exit || !strings.Contains(errs, want) || (want == "") != (errs == "") {
		t.Errorf("status %s, exit %d, errors %q; want %s, %d and %q", r.Status, r.Exit, errs, status, exit, want)
	}
	if m := r.Manifest; m != nil && (m.Status != r.Status || strings.Join(m.Errors, "\n") != errs) {
		t.Errorf("the manifest says %s and %q", m.Status, m.Errors)
	}
}

// entry is a line of a journal.
type entry struct {
	raw   string
	Seq   int64  `json:"seq"`
	Event string `json:"event"`
	Data  struct {
		event.Place
		Kind   string          `json:"kind"`
		Try    int             `json:"try"`
		Of     int             `json:"of"`
		Count  int             `json:"count"`
		Final  bool            `json:"final"`
		Wait   wire.Duration   `json:"wait"`
		Result json.RawMessage `json:"result"`
		Error  string          `json:"error"`
		Text   string          `json:"text"`
	} `json:"data"`
}

func (e entry) String() string {
	if e.Data.Step == "" {
		return e.Event
	}
	return e.Event + ":" + e.Data.Step
}

// journaled reads the journal of a run as it is on disk now.
func journaled(t testing.TB, dir string) []entry {
	t.Helper()
	data, err := os.ReadFile(dir + "/journal.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []entry
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("journal: %v in %q", err, lines.Text())
		}
		e.raw = lines.Text()
		all = append(all, e)
	}
	return all
}

// told writes the events of a journal in a line.
func told(entries []entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.String())
	}
	return strings.Join(all, " ")
}

// only gives the events of some kinds.
func only(entries []entry, kinds ...string) []entry {
	var all []entry
	for _, e := range entries {
		if strings.Contains(" "+strings.Join(kinds, " ")+" ", " "+e.Event+" ") {
			all = append(all, e)
		}
	}
	return all
}

// localGuard gives each run a guard within the test, and locks of its own.
func localGuard(t testing.TB) func(*archive.Dir) (*guard.Client, error) {
	locks := t.TempDir()
	return func(*archive.Dir) (*guard.Client, error) {
		return guardtest.InProcess(guard.Options{LockDir: locks, Log: io.Discard}), nil
	}
}
