package analysis

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"profjob/internal/trace"
)

// made is a trace under construction. Times are in µs, those of results in ns.
type made struct{ events []string }

func (m *made) add(cat, name string, thread any, start, dur float64, args string) {
	m.events = append(m.events, fmt.Sprintf(`{"ph":"X","cat":%q,"name":%q,"pid":1,"tid":"%v","ts":%g,"dur":%g,"args":{%s}}`,
		cat, name, thread, start, dur, args))
}

func (m *made) step(name string, start, dur float64) {
	m.add("user_annotation", name, "main", start, dur, "")
}

func (m *made) op(name string, thread any, start, dur float64) {
	m.add("cpu_op", name, thread, start, dur, "")
}

func (m *made) call(name string, thread any, start, dur float64, correlation int) {
	m.add("cuda_runtime", name, thread, start, dur, fmt.Sprintf(`"correlation":%d`, correlation))
}

func (m *made) kernel(name string, stream any, start, dur float64, correlation int) {
	m.add("kernel", name, stream, start, dur, fmt.Sprintf(`"correlation":%d`, correlation))
}

// write writes it to a file; the Unix epoch of its times is 1000 s.
func (m *made) write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace.json")
	content := `{"baseTimeNanoseconds":1000000000000,"traceEvents":[` + strings.Join(m.events, ",\n") + `]}`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (m *made) read(t testing.TB) *Reading {
	t.Helper()
	r, err := Read(t.Context(), Input{Path: m.write(t), Name: "trace.json"}, trace.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (m *made) columns(t testing.TB) *trace.Columns {
	t.Helper()
	return columns(t, m.write(t))
}

// operator finds a row; the zero value where there is none.
func (g *Group) operator(name string) Operator {
	for _, o := range g.Operators {
		if o.Name == name {
			return o
		}
	}
	return Operator{}
}

func (g *Group) kernel(name string) Kernel {
	for _, k := range g.Kernels {
		if k.Name == name {
			return k
		}
	}
	return Kernel{}
}
