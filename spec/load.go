package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Load is traffic that profjob makes.
type Load struct {
	Name      string
	DeclRange hcl.Range

	Concurrency int     // closed loop: requests in flight over all endpoints; 0 if Rate is set
	Rate        float64 // open loop: requests a second over all endpoints; 0 if Concurrency is set
	Burstiness  float64 // 1: Poisson arrivals; larger is more regular. Default 1

	InputTokens  TokenRange // default 256; zero where Dataset is set
	OutputTokens TokenRange // default 128
	Dataset      string     // path of a JSON lines file of prompts, absolute or relative to Job.Dir; empty: random tokens
	Endpoint     string     // base URL without a trailing slash; empty: the target's endpoints in turn
	Model        string     // empty: the first that /v1/models names
	API          string     // "completions" (default) or "chat"
	Seed         uint64     // default 0
}

// Address is how the load is referred to: load.steady.
func (l *Load) Address() string { return "load." + l.Name }

// TokenRange is a number of tokens, drawn evenly from [Min, Max].
type TokenRange struct{ Min, Max int }

var loadSchema = &Block{
	Name:       "load",
	Labels:     []string{"name"},
	Many:       true,
	ExactlyOne: []string{"concurrency", "rate"},
	Doc:        "Traffic that profjob makes, referred to as `load.NAME`. All attributes can be read of it: `load.steady.concurrency`.",
	Arguments: []Argument{
		{Name: "concurrency", Type: TypeInteger, Min: 1, Max: 1e6, Doc: "Requests in flight, over all endpoints: the next is sent when one has ended."},
		{Name: "rate", Type: TypeNumber, Min: 0.001, Max: 1e6, Doc: "Requests a second, over all endpoints, whether or not earlier ones have ended."},
		{Name: "burstiness", Type: TypeNumber, Default: "1", Min: 0.01, Max: 1e6, Doc: "How evenly a rate's requests come: 1 is a Poisson process, more is more regular."},
		{Name: "input_tokens", Type: TypeTokens, Default: "256", Min: 1, Max: 1e7, Doc: "Tokens of a prompt, drawn evenly from a range. Not together with `dataset`."},
		{Name: "output_tokens", Type: TypeTokens, Default: "128", Min: 1, Max: 1e7, Doc: "Tokens that are asked for, drawn evenly from a range."},
		{Name: "dataset", Type: TypePath, Doc: "A JSON lines file of prompts. Without it, prompts are of random tokens."},
		{Name: "endpoint", Type: TypeURL, Doc: "Where requests are sent, such as a proxy. Without it, to the target's endpoints in turn."},
		{Name: "model", Type: TypeString, Doc: "The model that is asked for. Without it, the first that the server names."},
		{Name: "api", Type: TypeString, Default: "completions", OneOf: []string{"completions", "chat"}, Doc: "The API that is called."},
		{Name: "seed", Type: TypeInteger, Default: "0", Max: 1<<64 - 1, Doc: "Where the random numbers start: the same seed makes the same requests."},
	},
}

// decodeLoad gives what an expression gets that refers to the load, and keeps
// the load for the jobs.
func (l *loader) decodeLoad(block *hclsyntax.Block) cty.Value {
	before := l.report.count()
	b := l.general().open(block, loadSchema)
	load := &Load{
		Name:         block.Labels[0],
		DeclRange:    block.DefRange(),
		Concurrency:  b.integer("concurrency"),
		Rate:         b.number("rate"),
		Burstiness:   b.number("burstiness"),
		InputTokens:  b.tokens("input_tokens"),
		OutputTokens: b.tokens("output_tokens"),
		Dataset:      b.str("dataset"),
		Endpoint:     b.url("endpoint"),
		Model:        b.str("model"),
		API:          b.str("api"),
		Seed:         b.seed("seed"),
	}
	if b.has("dataset") {
		load.InputTokens = TokenRange{}
		if b.has("input_tokens") {
			g := b.given["input_tokens"]
			b.fail(g, "", "Attributes exclude each other", "input_tokens cannot be set together with dataset (%s): the dataset says how long its prompts are.", place(b.given["dataset"].at))
		}
	}
	if b.has("burstiness") && b.has("concurrency") {
		b.fail(b.given["burstiness"], "", "Attributes exclude each other", "burstiness is about a rate; with concurrency (%s) a request is sent whenever one has ended.", place(b.given["concurrency"].at))
	}
	if l.report.failedSince(before) {
		return cty.DynamicVal
	}
	l.decodedLoads[load.Address()] = load
	return load.value()
}

// value is what an expression sees of the load.
func (l *Load) value() cty.Value {
	v := map[string]cty.Value{
		"address":       cty.StringVal(l.Address()),
		"name":          cty.StringVal(l.Name),
		"concurrency":   cty.NullVal(cty.Number),
		"rate":          cty.NullVal(cty.Number),
		"burstiness":    cty.NumberFloatVal(l.Burstiness),
		"input_tokens":  cty.NullVal(tokensType),
		"output_tokens": l.OutputTokens.value(),
		"dataset":       stringOrNull(l.Dataset),
		"endpoint":      stringOrNull(l.Endpoint),
		"model":         stringOrNull(l.Model),
		"api":           cty.StringVal(l.API),
		"seed":          cty.NumberUIntVal(l.Seed),
	}
	if l.Concurrency > 0 {
		v["concurrency"] = cty.NumberIntVal(int64(l.Concurrency))
	}
	if l.Rate > 0 {
		v["rate"] = cty.NumberFloatVal(l.Rate)
	}
	if l.Dataset == "" {
		v["input_tokens"] = l.InputTokens.value()
	}
	return cty.ObjectVal(v)
}

var tokensType = cty.Object(map[string]cty.Type{"min": cty.Number, "max": cty.Number})

func (r TokenRange) value() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"min": cty.NumberIntVal(int64(r.Min)), "max": cty.NumberIntVal(int64(r.Max))})
}

// tokens is a number of tokens or a range of them.
func (b *body) tokens(name string) TokenRange {
	arg := b.schema.mustArgument(name)
	g, ok := b.lookup(name)
	if !ok {
		n := int(mustNumber(arg.Default))
		return TokenRange{n, n}
	}
	v := plain(g.value)
	if v.Type().IsObjectType() || v.Type().IsMapType() {
		return b.tokenRange(arg, g, v)
	}
	n, err := convert.Convert(v, cty.Number)
	if err != nil {
		b.fail(g, "", "Wrong type", "%s must be a whole number or a range { min = 128, max = 512 }, not %s.", name, valueName(v))
		return TokenRange{}
	}
	count := b.whole(arg, g, g.at, name, n)
	return TokenRange{count, count}
}

func (b *body) tokenRange(arg *Argument, g given, v cty.Value) TokenRange {
	ends := v.AsValueMap()
	for name := range ends {
		if name != "min" && name != "max" {
			b.fail(g, "", "Wrong type", "A range has min and max only: { min = 128, max = 512 }.")
			return TokenRange{}
		}
	}
	if len(ends) != 2 {
		b.fail(g, "", "Wrong type", "A range needs both min and max: { min = 128, max = 512 }.")
		return TokenRange{}
	}
	r := TokenRange{Min: b.rangeEnd(arg, g, ends, "min"), Max: b.rangeEnd(arg, g, ends, "max")}
	if r.Min == 0 || r.Max == 0 {
		return TokenRange{}
	}
	if r.Min > r.Max {
		b.fail(g, "", "Out of range", "min of %s must not be more than max, but %d is more than %d.", arg.Name, r.Min, r.Max)
		return TokenRange{}
	}
	return r
}

// rangeEnd is one end of a range, 0 if it is wrong.
func (b *body) rangeEnd(arg *Argument, g given, ends map[string]cty.Value, end string) int {
	n, err := convert.Convert(ends[end], cty.Number)
	if err != nil || n.IsNull() {
		b.fail(g, "", "Wrong type", "%s of %s must be a whole number, not %s.", end, arg.Name, valueName(ends[end]))
		return 0
	}
	return b.whole(arg, g, g.at, end+" of "+arg.Name, n)
}
