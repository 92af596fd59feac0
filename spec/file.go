package spec

import (
	"context"
	"maps"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// File is one job file, evaluated: nothing in it is unknown.
type File struct {
	// Path is the path the file was loaded from, as given.
	Path string
	// Dir is the absolute directory of the file: relative paths in it start here.
	Dir string
	// RequiredVersion is profjob.required_version, empty if not set. It has been
	// checked against Inputs.Version already.
	RequiredVersion string
	// Jobs are in file order; the jobs that one for_each makes are in the order of their keys.
	Jobs []*Job
	// Sources are all files that were read, in the order in which they were first read.
	Sources []Source
}

// Inputs is everything that a job file can depend on beside the files it names.
// The zero value is usable.
type Inputs struct {
	// Vars are the values given with --var, by the variable's name. They win over VarFiles.
	Vars map[string]string
	// VarFiles are the paths given with --var-file, relative to the working
	// directory. A later one wins over an earlier one, any over the environment.
	VarFiles []string
	// Environ is the environment as os.Environ gives it: PROFJOB_VAR_x sets the
	// variable x, and the function env reads any of it.
	Environ []string
	// Version is the running profjob's version. One that is empty or no semantic
	// version (a build from a checkout) satisfies every required_version.
	Version string
	// Hostname is what the function hostname calls; nil: os.Hostname.
	Hostname func() (string, error)
}

// LoadFile reads and evaluates the job file at path.
//
// The diagnostics are never nil. They hold everything that is wrong, sorted by
// place, each mistake once; the File is nil if one of them is an error. Nothing
// is kept between calls, so calls may run side by side.
func LoadFile(ctx context.Context, path string, catalog Catalog, in Inputs) (*File, *Diagnostics) {
	l := newLoader(ctx, path, catalog, in)
	src, ok := l.sources.readMain(ctx, path)
	if !ok {
		return nil, l.finish()
	}
	return l.load(src)
}

// LoadBytes is LoadFile for a job file whose text is at hand: path says only
// how the file is called and where its relative paths start.
func LoadBytes(ctx context.Context, path string, text []byte, catalog Catalog, in Inputs) (*File, *Diagnostics) {
	l := newLoader(ctx, path, catalog, in)
	src, ok := l.sources.addMain(path, text)
	if !ok {
		return nil, l.finish()
	}
	return l.load(src)
}

// loader is the state of one call of LoadFile.
type loader struct {
	ctx     context.Context
	path    string
	dir     string
	catalog Catalog
	inputs  Inputs
	environ map[string]string

	sources   *sources
	report    *reporter
	functions map[string]function.Function
	budget    *budget

	variables declarations[*variable]
	locals    declarations[*hclsyntax.Attribute]
	targets   declarations[*hclsyntax.Block]
	loads     declarations[*hclsyntax.Block]
	jobs      declarations[*hclsyntax.Block]

	// values has the value of everything that an expression can refer to, by
	// its address. What could not be evaluated is unknown, and so is everything
	// that depends on it: the mistake behind it has been reported.
	values map[string]cty.Value
	// decodedTargets and decodedLoads are what jobs get by the address.
	decodedTargets map[string]*Target
	decodedLoads   map[string]*Load
	// targetSecrets has the values of the secrets that a target refers to, by the target's address.
	targetSecrets map[string]map[string]string

	// secretDefaults are the defaults of sensitive variables: what goes wrong in
	// one must not be told with its value.
	secretDefaults map[hclsyntax.Expression]bool

	// unknownAt is where a decoder met an unknown value first.
	unknownAt *hcl.Range
}

func newLoader(ctx context.Context, path string, catalog Catalog, in Inputs) *loader {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		dir = filepath.Dir(path)
	}
	l := &loader{
		ctx:            ctx,
		path:           path,
		dir:            dir,
		catalog:        catalog,
		inputs:         in,
		environ:        parseEnviron(in.Environ),
		report:         newReporter(),
		values:         map[string]cty.Value{},
		decodedTargets: map[string]*Target{},
		decodedLoads:   map[string]*Load{},
		targetSecrets:  map[string]map[string]string{},
		secretDefaults: map[hclsyntax.Expression]bool{},
		budget:         &budget{},
	}
	l.sources = newSources(dir, l.report)
	l.functions = l.makeFunctions()
	maps.Copy(l.functions, l.budget.functions())
	return l
}

// load goes through the file from its text to its jobs. A step goes on after
// mistakes of an earlier one wherever what it needs is still there.
func (l *loader) load(src *source) (*File, *Diagnostics) {
	body, ok := l.sources.parse(src, brokenRedactions)
	if !ok {
		return nil, l.finish()
	}
	l.sources.redactCalls(body)
	file := l.static().openBody(body, fileSchema)
	version, ok := l.checkRequiredVersion(file)
	if !ok {
		return nil, l.finish()
	}
	l.declare(file)
	l.setVariables()
	l.evaluateReferable()
	jobs := l.decodeJobs()
	if len(l.jobs.order) == 0 {
		l.report.errorAt(body.MissingItemRange(), "No job", "A job file needs at least one job block, which says what is to be profiled.")
	}

	diags := l.finish()
	if diags.HasErrors() {
		return nil, diags
	}
	return &File{
		Path:            l.path,
		Dir:             l.dir,
		RequiredVersion: version,
		Jobs:            jobs,
		Sources:         l.sources.kept(),
	}, diags
}

// declare finds out what the file declares before anything is evaluated, so
// that the order of blocks in a file does not matter.
func (l *loader) declare(file *body) {
	l.declareVariables(file.blocks["variable"])
	l.declareLocals(file.blocks["locals"])
	l.declareBlocks(&l.targets, file.blocks["target"])
	l.declareBlocks(&l.loads, file.blocks["load"])
	l.declareBlocks(&l.jobs, file.blocks["job"])
}

func (l *loader) declareBlocks(d *declarations[*hclsyntax.Block], blocks []*hclsyntax.Block) {
	for _, block := range blocks {
		if !l.checkLabels(block) {
			continue
		}
		d.add(l.report, blockAddress(block), block, block.DefRange())
	}
}

// finish closes the books: no more diagnostics come, and what may be shown of
// the files is known.
func (l *loader) finish() *Diagnostics {
	if err := l.ctx.Err(); err != nil {
		l.report.errorAt(hcl.Range{}, "Loading was stopped", "The job file %s was not read to its end: %s.", l.path, err)
	}
	if l.unknownAt != nil && !l.report.hasErrors() {
		// Nothing in the language is unknown but by a mistake, which was reported.
		l.report.errorAt(*l.unknownAt, "Value not known", "The value of this expression cannot be known before the run.")
	}
	return l.report.finish(l.sources.redactAll())
}

// declarations are the named things of one kind that a file declares, in order.
type declarations[T any] struct {
	order  []string // addresses
	byName map[string]declared[T]
}

type declared[T any] struct {
	item T
	at   hcl.Range
}

// add reports a second declaration of the same address and keeps the first.
func (d *declarations[T]) add(report *reporter, address string, item T, at hcl.Range) {
	if first, ok := d.byName[address]; ok {
		report.errorAt(at, "Declared twice", "%s is declared here and at %s. Rename one of them.", address, place(first.at))
		return
	}
	if d.byName == nil {
		d.byName = map[string]declared[T]{}
	}
	d.byName[address] = declared[T]{item: item, at: at}
	d.order = append(d.order, address)
}

func (d *declarations[T]) has(address string) bool {
	_, ok := d.byName[address]
	return ok
}

// blockAddress is the block's type and labels: target.vllm.server.
func blockAddress(block *hclsyntax.Block) string {
	address := block.Type
	for _, label := range block.Labels {
		address += "." + label
	}
	return address
}
