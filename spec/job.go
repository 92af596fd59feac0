package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Job is one profiling task with every value known. It is not changed after LoadFile.
type Job struct {
	// Name is the label of the block; Key the for_each key, empty without for_each.
	Name, Key string
	// Address is how the job is named on the command line: decode or decode["b64"].
	Address string
	// DeclRange is the block's header.
	DeclRange hcl.Range
	// Dir is File.Dir.
	Dir string

	Targets []*Target // shared with other jobs of the file
	Load    *Load     // nil: the traffic is somebody else's

	Warmup  *Warmup // nil: none
	Window  Window
	Record  Record
	Retry   Retry
	Limits  Limits
	Repeat  int // rounds, 1 or more
	Collect Collect
	Archive Archive

	// Secrets has the value of each Secret that this job refers to, by its Ref.
	Secrets map[string]string
}

var jobSchema = &Block{
	Name:   "job",
	Labels: []string{"name"},
	Many:   true,
	Doc:    "One profiling task.",
	Arguments: []Argument{
		{Name: "targets", Type: TypeTargets, Required: true, Doc: "the servers to profile, such as [target.vllm.server]."},
		{Name: "load", Type: TypeLoad, Doc: "The traffic to make, from the warmup until the window is over, such as `load.steady`. Without it, the traffic is somebody else's."},
		{Name: "repeat", Type: TypeInteger, Default: "1", Min: 1, Max: 1000, Doc: "Rounds: each is a warmup, a window, and the collection of its traces."},
		{Name: "for_each", Type: TypeExpression, Doc: "A map or a set of strings: one job is made for each key, which the block knows as `each.key` and `each.value`. The job is called `NAME[\"KEY\"]`."},
		{Name: "source", Type: TypeString, Reserved: true, Doc: "Another job file that the job is made of."},
		{Name: "inputs", Type: TypeAny, Reserved: true, Doc: "Values for the variables of `source`."},
	},
	Blocks: []*Block{warmupSchema, windowSchema, recordSchema, retrySchema, limitsSchema, collectSchema, archiveSchema},
}

// maxInstances bounds the jobs that one for_each makes.
const maxInstances = 1000

func (l *loader) decodeJobs() []*Job {
	var jobs []*Job
	for _, address := range l.jobs.order {
		block := l.jobs.byName[address].item
		if attr := block.Body.Attributes["source"]; attr != nil {
			// What the job lacks may come from its source.
			l.report.errorAt(attr.NameRange, "Not supported by this version", "Jobs made from other files are part of the language, but this version of profjob cannot read them yet.")
			continue
		}
		jobs = append(jobs, l.decodeInstances(block)...)
	}
	return jobs
}

// decodeInstances makes the jobs of a block: one, or one for each key.
func (l *loader) decodeInstances(block *hclsyntax.Block) []*Job {
	attr := block.Body.Attributes["for_each"]
	if attr == nil {
		return []*Job{l.decodeJob(block, l.instance(nil), "")}
	}
	instances, ok := l.forEach(attr.Expr)
	if !ok {
		// The rest of the block is looked at all the same.
		l.decodeJob(block, l.instance(&each{key: cty.UnknownVal(cty.String), value: cty.DynamicVal}), "")
		return nil
	}
	var jobs []*Job
	first := l.report.count()
	for i, e := range instances {
		before := l.report.count()
		jobs = append(jobs, l.decodeJob(block, l.instance(&e), e.key.AsString()))
		if i > 0 {
			l.report.dropRepeats(first, before)
		}
	}
	return jobs
}

func (l *loader) decodeJob(block *hclsyntax.Block, s *scope, key string) *Job {
	b := s.open(block, jobSchema)
	j := &Job{
		Name:      block.Labels[0],
		Key:       key,
		Address:   jobAddress(block.Labels[0], key),
		DeclRange: block.DefRange(),
		Dir:       l.dir,
		Targets:   b.targetList("targets"),
		Load:      b.loadReference("load"),
		Warmup:    decodeWarmup(b),
		Window:    decodeWindow(b),
		Record:    decodeRecord(b),
		Retry:     decodeRetry(b),
		Limits:    decodeLimits(b),
		Repeat:    b.integer("repeat"),
		Collect:   decodeCollect(b),
		Archive:   decodeArchive(b),
		Secrets:   map[string]string{},
	}
	for _, t := range j.Targets {
		maps.Copy(j.Secrets, l.targetSecrets[t.Address()])
	}
	return j
}

func jobAddress(name, key string) string {
	if key == "" {
		return name
	}
	return fmt.Sprintf("%s[%q]", name, key)
}

// forEach gives the keys and values of a for_each, sorted by key.
func (l *loader) forEach(expr hclsyntax.Expression) ([]each, bool) {
	s := l.general()
	s.because = "for_each is what makes it"
	v := s.evaluate(expr)
	at := expr.Range()
	// Marks on the whole, such as that it was read from a file, are those of each value.
	v, marks := v.Unmark()
	t := v.Type()
	switch {
	case marks.Has(sensitiveMark{}):
		s.refuseSensitive(at, "the key of each job")
		return nil, false
	case !v.IsKnown():
		return nil, false
	case v.IsNull():
		l.report.errorAt(at, "Invalid for_each", "for_each must be a map or a set of strings, not null. An empty one, {}, makes no job.")
		return nil, false
	case t.IsListType() || t.IsTupleType():
		instead := l.asSet(expr, v)
		l.report.suggestAt(at, instead, "Invalid for_each", "for_each must be a map or a set of strings, not a list, whose elements have no keys. Did you mean %s?", instead)
		return nil, false
	case t.IsMapType() || t.IsObjectType():
	case t.IsSetType() && t.ElementType() == cty.String:
	case t.IsSetType() && t.ElementType() == cty.DynamicPseudoType && v.LengthInt() == 0:
	default:
		l.report.errorAt(at, "Invalid for_each", "for_each must be a map or a set of strings, not %s.", typeName(t))
		return nil, false
	}
	return l.instances(v, marks, at)
}

// asSet is how a list would be written as a set.
func (l *loader) asSet(expr hclsyntax.Expression, v cty.Value) string {
	src := l.sources.byName(expr.Range().Filename)
	if src == nil || callsSensitive(expr) || isSensitive(v) {
		return "toset(…)"
	}
	instead := "toset(" + string(expr.Range().SliceBytes(src.text)) + ")"
	if len(instead) > maxNameLength || strings.Contains(instead, "\n") {
		return "toset(…)"
	}
	return instead
}

func (l *loader) instances(v cty.Value, marks cty.ValueMarks, at hcl.Range) ([]each, bool) {
	if n := v.LengthInt(); n > maxInstances {
		l.report.errorAt(at, "Invalid for_each", "for_each makes at most %d jobs, not %d.", maxInstances, n)
		return nil, false
	}
	var out []each
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if !value.IsKnown() && v.Type().IsSetType() {
			return nil, false
		}
		if v.Type().IsSetType() {
			key = value
		}
		if key.IsNull() || !validKey(key.AsString()) {
			l.report.errorAt(at, "Invalid for_each", "The keys of a for_each name jobs: each has 1 to %d bytes and consists of visible characters.", maxNameLength)
			return nil, false
		}
		out = append(out, each{key: key, value: value.WithMarks(marks)})
	}
	slices.SortFunc(out, func(a, b each) int { return strings.Compare(a.key.AsString(), b.key.AsString()) })
	return out, true
}

func validKey(key string) bool {
	return key != "" && len(key) <= maxNameLength && !strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) })
}

// targetList are the targets that a job profiles. A target that is wrong itself
// is left out; it has been reported.
func (b *body) targetList(name string) []*Target {
	g, ok := b.lookup(name)
	if !ok {
		return nil
	}
	if address := addressOf(plain(g.value)); strings.HasPrefix(address, "target.") {
		instead := "[" + address + "]"
		b.fail(g, instead, "Wrong type", "%s must be a list of targets. Did you mean %s?", name, instead)
		return nil
	}
	items, g, ok := b.list(name)
	if !ok {
		return nil
	}
	var targets []*Target
	for _, it := range items {
		target, ok := b.decodedTargets[addressOf(it.value)]
		switch {
		case !ok:
			b.notReferred(g, it, name, "target", b.targets.order)
		case slices.Contains(targets, target):
			b.failAt(g, it.at, "", "Written twice", "%s is in the list already.", target.Address())
		default:
			targets = append(targets, target)
		}
	}
	return targets
}

// loadReference is the load that a job makes; nil: none.
func (b *body) loadReference(name string) *Load {
	g, ok := b.lookup(name)
	if !ok {
		return nil
	}
	load, ok := b.decodedLoads[addressOf(plain(g.value))]
	if !ok {
		b.notReferred(g, item{value: plain(g.value), at: g.at}, name, "load", b.loads.order)
	}
	return load
}

// notReferred says that something else stands where a target or load is wanted.
func (b *body) notReferred(g given, it item, name, kind string, declared []string) {
	v := it.value
	if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		written := v.AsString()
		for _, instead := range []string{written, kind + "." + written} {
			if slices.Contains(declared, instead) {
				b.failAt(g, it.at, instead, "Wrong type", "%s refers to a %s without quotes. Did you mean %s?", name, kind, instead)
				return
			}
		}
	}
	what := valueName(v)
	if address := addressOf(v); address != "" {
		what = address
	}
	b.failAt(g, it.at, "", "Wrong type", "%s must refer to a %s, such as %s, not be %s.", name, kind, map[string]string{"target": "target.vllm.server", "load": "load.steady"}[kind], what)
}

// addressOf is the address in the value of a target or a load, otherwise empty.
func addressOf(v cty.Value) string {
	if v.IsNull() || !v.IsKnown() {
		return ""
	}
	var address cty.Value
	switch t := v.Type(); {
	case t.IsObjectType() && t.HasAttribute("address"):
		address = v.GetAttr("address")
	case t.IsMapType() && v.HasIndex(cty.StringVal("address")).True():
		address = v.Index(cty.StringVal("address"))
	default:
		return ""
	}
	s, err := convert.Convert(address, cty.String)
	if err != nil || s.IsNull() || !s.IsKnown() {
		return ""
	}
	return s.AsString()
}
