package kineto

import (
	"bufio"
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

func (t *Trace) writeTable(w *bufio.Writer, rows []*tableRow, o TableOptions) {
	nameWidth, shapesWidth := 0, 0
	sum, smallest := int64(0), int64(0)
	for _, r := range rows {
		nameWidth = max(nameWidth, len(r.name)+4)
		shapesWidth = max(shapesWidth, len(r.shapes)+4)
		sum += r.self
		if r.flops > 0 && (smallest == 0 || r.flops < smallest) {
			smallest = r.flops
		}
	}
	nameWidth, shapesWidth = min(nameWidth, maxNameWidth), min(shapesWidth, maxShapesWidth)
	if o.BySelfTime {
		slices.SortStableFunc(rows, func(a, b *tableRow) int { return int(b.self - a.self) })
	}
	if o.Limit > 0 && len(rows) > o.Limit {
		rows = rows[:o.Limit]
	}
	byShape := o.ByShape && t.opts.Shapes
	unit, scale := flopsUnit(smallest)

	widths := []int{nameWidth}
	heads := []string{"Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"}
	if t.opts.Memory {
		heads = append(heads, "CPU Mem", "Self CPU Mem")
	}
	heads = append(heads, "# of Calls")
	for range heads[1:] {
		widths = append(widths, columnWidth)
	}
	if byShape {
		heads, widths = append(heads, "Input Shapes"), append(widths, shapesWidth)
	}
	if smallest > 0 {
		heads, widths = append(heads, "Total "+unit), append(widths, columnWidth)
	}
	line := func(cells []string) {
		for i, c := range cells {
			fmt.Fprintf(w, "%*s  ", widths[i], c)
		}
		_ = w.WriteByte('\n')
	}
	rule := make([]string, len(widths))
	for i, n := range widths {
		rule[i] = strings.Repeat("-", n)
	}
	line(rule)
	line(heads)
	line(rule)
	for _, r := range rows {
		name := r.name
		if len(name) >= maxNameWidth-3 {
			name = name[:maxNameWidth-3] + "..."
		}
		cells := []string{
			name, share(r.self, sum), duration(r.self), share(r.total, sum), duration(r.total), duration(r.total / r.count),
		}
		if t.opts.Memory {
			cells = append(cells, memory(r.mem), memory(r.selfMem))
		}
		cells = append(cells, strconv.FormatInt(r.count, 10))
		if byShape {
			cells = append(cells, r.shapes[:min(len(r.shapes), shapesWidth)])
		}
		if smallest > 0 {
			cell := "--"
			if r.flops > 0 {
				cell = fmt.Sprintf("%8.3f", float64(r.flops)*scale)
			}
			cells = append(cells, cell)
		}
		line(cells)
	}
	line(rule)
	fmt.Fprintf(w, "Self CPU time total: %s\n", duration(sum))
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
