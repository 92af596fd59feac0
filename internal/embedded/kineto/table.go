package kineto

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// TableOptions choose the form of the table of operators.
type TableOptions struct {
	// ByShape keeps calls with different inputs apart, where shapes were recorded.
	ByShape bool
	// BySelfTime sorts by the time spent in an operator itself, longest first.
	// Otherwise operators come in the order of their first call.
	BySelfTime bool
	// Limit is the most rows to write; 0 means all.
	Limit int
}

type tableRow struct {
	name, shapes string
	count        int64
	self, total  int64 // ns
	mem, selfMem int64 // bytes
	flops        int64
}

// WriteTable writes the table of operators that vLLM puts into profiler_out
// files: torch's key_averages().table(). An empty recording gives an empty line.
func (t *Trace) WriteTable(dst io.Writer, o TableOptions) error {
	w := bufio.NewWriter(dst)
	rows := t.rows(o.ByShape && t.opts.Shapes)
	if len(rows) > 0 {
		t.writeTable(w, rows, o)
	}
	_ = w.WriteByte('\n')
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write table of operators: %w", err)
	}
	return nil
}

// rows sums the operators up. Times and memory of nested operators are taken
// from their parents' own share.
func (t *Trace) rows(byShape bool) []*tableRow {
	self := make([]int64, len(t.ops))
	mem := make([]int64, len(t.ops))
	for i := len(t.ops) - 1; i >= 0; i-- { // children come after their parents
		o := &t.ops[i]
		self[i] += o.end - o.start
		mem[i] += o.mem
		if o.parent >= 0 {
			self[o.parent] -= o.end - o.start
			mem[o.parent] += mem[i]
		}
	}
	type key struct{ name, shapes string }
	index := map[key]*tableRow{}
	var rows []*tableRow
	for i := range t.ops {
		o := &t.ops[i]
		k := key{name: o.name}
		if byShape {
			k.shapes = t.shapes(o)
		}
		row := index[k]
		if row == nil {
			row = &tableRow{name: k.name, shapes: k.shapes}
			index[k] = row
			rows = append(rows, row)
		}
		row.count++
		row.self += self[i]
		row.total += o.end - o.start
		row.mem += mem[i]
		row.selfMem += o.mem
		row.flops += o.flops
	}
	return rows
}

func (t *Trace) shapes(o *operator) string {
	b := []byte{'['}
	for i := range t.args[o.args : o.args+o.nargs] {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = t.args[int(o.args)+i].appendDims(b)
	}
	return string(append(b, ']'))
}

// The widths of torch's table, in characters.
const (
	columnWidth    = 12
	maxNameWidth   = 55
	maxShapesWidth = 80
)

// column is one column of the table.
type column struct {
	head  string
	width int // in characters; cells are aligned to the right
	cell  func(*tableRow) string
}

func (t *Trace) writeTable(w *bufio.Writer, rows []*tableRow, o TableOptions) {
	sum := int64(0)
	for _, r := range rows {
		sum += r.self
	}
	columns := t.columns(rows, sum, o)
	if o.BySelfTime {
		slices.SortStableFunc(rows, func(a, b *tableRow) int { return cmp.Compare(b.self, a.self) })
	}
	if o.Limit > 0 && len(rows) > o.Limit {
		rows = rows[:o.Limit]
	}
	line := func(cell func(column) string) {
		for _, c := range columns {
			fmt.Fprintf(w, "%*s  ", c.width, cell(c))
		}
		_ = w.WriteByte('\n')
	}
	rule := func(c column) string { return strings.Repeat("-", c.width) }
	line(rule)
	line(func(c column) string { return c.head })
	line(rule)
	for _, r := range rows {
		line(func(c column) string { return c.cell(r) })
	}
	line(rule)
	fmt.Fprintf(w, "Self CPU time total: %s\n", duration(sum))
}

// columns are what the options of the recording and of the table ask for; sum
// is the time of all rows.
func (t *Trace) columns(rows []*tableRow, sum int64, o TableOptions) []column {
	names, shapes := 0, 0
	smallest := int64(0) // of the counts of floating point operations
	for _, r := range rows {
		names, shapes = max(names, len(r.name)+4), max(shapes, len(r.shapes)+4)
		if r.flops > 0 && (smallest == 0 || r.flops < smallest) {
			smallest = r.flops
		}
	}
	shapes = min(shapes, maxShapesWidth)
	columns := []column{
		{"Name", min(names, maxNameWidth), func(r *tableRow) string { return cut(r.name) }},
		{"Self CPU %", columnWidth, func(r *tableRow) string { return share(r.self, sum) }},
		{"Self CPU", columnWidth, func(r *tableRow) string { return duration(r.self) }},
		{"CPU total %", columnWidth, func(r *tableRow) string { return share(r.total, sum) }},
		{"CPU total", columnWidth, func(r *tableRow) string { return duration(r.total) }},
		{"CPU time avg", columnWidth, func(r *tableRow) string { return duration(r.total / r.count) }},
	}
	if t.opts.Memory {
		columns = append(columns,
			column{"CPU Mem", columnWidth, func(r *tableRow) string { return memory(r.mem) }},
			column{"Self CPU Mem", columnWidth, func(r *tableRow) string { return memory(r.selfMem) }})
	}
	columns = append(columns, column{"# of Calls", columnWidth, func(r *tableRow) string { return strconv.FormatInt(r.count, 10) }})
	if o.ByShape && t.opts.Shapes {
		columns = append(columns, column{"Input Shapes", shapes, func(r *tableRow) string { return r.shapes[:min(len(r.shapes), shapes)] }})
	}
	if smallest > 0 {
		unit, scale := flopsUnit(smallest)
		columns = append(columns, column{"Total " + unit, columnWidth, func(r *tableRow) string {
			if r.flops <= 0 {
				return "--"
			}
			return fmt.Sprintf("%8.3f", float64(r.flops)*scale)
		}})
	}
	return columns
}

// cut shortens a name to what its column takes.
func cut(name string) string {
	if len(name) < maxNameWidth-3 {
		return name
	}
	return name[:maxNameWidth-3] + "..."
}

func flopsUnit(smallest int64) (string, float64) {
	units := []string{"FLOPs", "KFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs"}
	if smallest <= 0 {
		return units[0], 1
	}
	i := int(max(0, min(math.Log10(float64(smallest))/3, float64(len(units)-1))))
	return units[i], math.Pow(10, float64(-3*i))
}

func share(part, whole int64) string {
	if whole == 0 {
		return "0.00%"
	}
	return fmt.Sprintf("%.2f%%", float64(part)/float64(whole)*100)
}

func duration(ns int64) string {
	switch {
	case ns >= 1e9:
		return fmt.Sprintf("%.3fs", float64(ns)/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%.3fms", float64(ns)/1e6)
	}
	return fmt.Sprintf("%.3fus", float64(ns)/1e3)
}

func memory(bytes int64) string {
	abs := bytes
	if abs < 0 {
		abs = -abs
	}
	switch {
	case abs >= 1<<30:
		return fmt.Sprintf("%.2f GB", float64(bytes)/(1<<30))
	case abs >= 1<<20:
		return fmt.Sprintf("%.2f MB", float64(bytes)/(1<<20))
	case abs >= 1<<10:
		return fmt.Sprintf("%.2f KB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%d B", bytes)
}
