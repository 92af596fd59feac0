package analysis

import (
	"slices"
	"strings"

	"profjob/internal/trace"
)

// work is a trace under analysis. What the trace says is taken from it in few passes
// over its spans: the threads of the host, which tell the launches, then the devices,
// whose work belongs to the step that it was launched in. Sums are kept for the leaves
// of the [grouping] and added up to those of larger groups at the end.
type work struct {
	columns *trace.Columns
	steps   []Step
	windows windows
	*grouping

	names     []nameFacts
	texts     []string // of categories, as nameFacts has them; the first is none
	launches  *launches
	origins   origins
	operators *ledger[operatorRow]
	kernels   *ledger[kernelRow]
	sums      []leafSums
	onDevice  []deviceSpan // by step
	allDevice deviceSpan
	delays    []int64 // room for those of all launches

	collectives []Collective
}

// collective is the category of collective operations, of kernels and of operators;
// isCollective is its number.
const (
	collective   = "communication"
	isCollective = 1
)

// nameFacts is what is known of a name.
type nameFacts struct {
	graph    bool   // a call that replays a graph
	call     bool   // of a runtime or driver
	launches bool   // a call that launched something
	operator uint16 // its category as an operator's name, 0 where nobody asked
	kernel   uint16 // and as a kernel's
}

// leafSums are sums of a leaf beside those by name.
type leafSums struct {
	flops       int64
	launches    int
	launchTime  int64
	short       int
	byCategory  []int64 // self time on the steps' thread, by category
	inOperators int64   // the sum of them
}

// of analyses the columns of a trace.
func of(c *trace.Columns) *Reading {
	w := newWork(c)
	w.host()
	w.device()
	s := c.Summary
	r := &Reading{Collectives: w.collectives, Trace: Trace{
		Host: s.Host, EngineVersion: s.VLLMVersion, Rank: s.Rank, WorldSize: s.WorldSize,
		Options: s.Options, Activities: s.Activities, Events: s.Events, Start: s.First, End: s.Last, Evidence: s.Evidence,
		Steps: w.steps,
	}}
	w.group(&r.Trace)
	r.Trace.Memory = memory(c, w.steps)
	return r
}

func newWork(c *trace.Columns) *work {
	w := &work{columns: c, steps: stepsOf(c.Summary.Passes), windows: windowsOf(c.Summary.Passes, c.Base),
		names: make([]nameFacts, len(c.Names)), texts: []string{"", collective}, launches: launchesOf(c),
		operators: newLedger[operatorRow](len(c.Names)), kernels: newLedger[kernelRow](len(c.Names))}
	w.grouping = groupingOf(w.steps)
	w.sums = make([]leafSums, len(w.leaves))
	w.onDevice = make([]deviceSpan, len(w.steps))
	for i, name := range c.Names {
		w.names[i].graph = strings.Contains(name, "GraphLaunch") // cudaGraphLaunch_v10000, too
	}
	return w
}

func stepsOf(passes []trace.Pass) []Step {
	steps := make([]Step, len(passes))
	for i := range passes {
		p := &passes[i]
		steps[i] = Step{Index: i, Name: p.Name, Class: p.Class, Requests: p.Requests, Tokens: p.Tokens,
			ContextTokens: p.ContextTokens, GenerationTokens: p.GenerationTokens, Whole: p.Whole,
			Start: p.Start, Span: max(p.SpanEnd-p.Start, 0), Duration: max(p.End-p.Start, 0)}
	}
	return steps
}

// categoryOf is the number of an operator's category.
func (w *work) categoryOf(name trace.NameID) uint16 {
	facts := &w.names[name]
	if facts.operator == 0 {
		facts.operator = w.textOf(OperatorCategory(w.columns.Names[name]))
	}
	return facts.operator
}

// kernelCategoryOf is the number of a kernel's category.
func (w *work) kernelCategoryOf(name trace.NameID, kind trace.Kind) uint16 {
	facts := &w.names[name]
	if facts.kernel == 0 {
		facts.kernel = w.textOf(KernelCategory(w.columns.Names[name], kind))
	}
	return facts.kernel
}

func (w *work) textOf(text string) uint16 {
	if i := slices.Index(w.texts[1:], text); i >= 0 {
		return uint16(i + 1)
	}
	w.texts = append(w.texts, text)
	return uint16(len(w.texts) - 1)
}

// operatorCategory is that of an operator, "launch" of a call that launches device
// work, "runtime" of another call of the device's runtime.
func (w *work) operatorCategory(name trace.NameID) string {
	switch facts := w.names[name]; {
	case facts.launches || facts.call && facts.graph:
		return "launch"
	case facts.call:
		return "runtime"
	}
	return w.texts[w.categoryOf(name)]
}
