package spec

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Target is a server to profile.
type Target struct {
	Engine string // block's first label: vllm, embedded, …
	Name   string // block's second label
	// DeclRange is the block's header.
	DeclRange hcl.Range

	Endpoints []string // base URLs without a trailing slash; empty only where the engine's schema allows it
	// TraceDir is where the server writes its trace files, absolute or relative to Job.Dir; empty if not said.
	TraceDir string
	// Version is the server's version where the file says it (a launched server whose version cannot be found), else empty.
	Version string
	// Files says how the trace files are reached.
	Files  Files
	Auth   Auth
	TLS    *TLS    // nil: what the system trusts
	Launch *Launch // nil: the server runs already
	Gate   *Gate   // nil: the job file says nothing of it
	// Options has the engine's own attributes as its schema in the catalog names
	// them; without the ones that were not written and have no default.
	Options map[string]cty.Value
}

// Address is how the target is referred to: target.vllm.server.
func (t *Target) Address() string { return "target." + t.Engine + "." + t.Name }

// Files is the block of that name in a target.
type Files struct {
	From string // "local" or "gate"
}

// FilesFromGate is the From of files that only the gate can reach.
const FilesFromGate = "gate"

// Launch is the block of that name in a target: profjob starts the server itself.
type Launch struct {
	Command      []string // program and arguments, never empty
	Env          map[string]Secret
	ReadyTimeout time.Duration // default 10m
}

var targetSchema = &Block{
	Name:   "target",
	Labels: []string{"engine", "name"},
	Many:   true,
	Doc:    "A server to profile, referred to as `target.ENGINE.NAME`. `endpoints`, `trace_dir`, `version`, `engine` and `name` can be read of it.",
	Arguments: []Argument{
		{Name: "endpoints", Type: TypeURLs, Doc: "The base URLs of the server's API, one for each API server."},
		{Name: "trace_dir", Type: TypePath, Doc: "Where the server writes its trace files."},
		{Name: "version", Type: TypeString, Doc: "The server's version, where it cannot be asked for it."},
	},
	Blocks: []*Block{filesSchema, authSchema, tlsSchema, launchSchema, gateSchema,
		{Name: "inventory", Reserved: true, Doc: "Endpoints from an Ansible inventory."},
	},
}

var filesSchema = &Block{
	Name: "files",
	Doc:  "How the trace files are reached.",
	Arguments: []Argument{
		{Name: "from", Type: TypeString, Default: "local", OneOf: []string{"local", FilesFromGate}, Doc: "`local`: the trace directory is on this host, or mounted. `gate`: only the server's gate reaches the files, so that nothing but the gate may record; what it records always comes through it."},
	},
}

// laterFileSources are places of trace files that the language has a word for
// already.
var laterFileSources = []string{"ssh", "ray", "kubernetes"}

var launchSchema = &Block{
	Name: "launch",
	Doc:  "How profjob starts the server itself. Without it, the server is running already.",
	Arguments: []Argument{
		{Name: "command", Type: TypeStrings, Required: true, Doc: "The program and its arguments."},
		{Name: "env", Type: TypeStringMap, Sensitive: true, Doc: "Environment variables, beside those that profjob itself has."},
		{Name: "ready_timeout", Type: TypeDuration, Default: "10m", Min: oneMillisecond, Max: oneDay, Doc: "How long the server may take until it answers."},
	},
}

// decodeTarget gives what an expression gets that refers to the target, and
// keeps the target for the jobs.
func (l *loader) decodeTarget(block *hclsyntax.Block) cty.Value {
	before := l.report.count()
	t := &Target{Engine: block.Labels[0], Name: block.Labels[1], DeclRange: block.DefRange()}
	engine, ok := l.catalog[t.Engine]
	if !ok {
		sentence, instead := didYouMean(t.Engine, slices.Collect(maps.Keys(l.catalog)))
		l.report.suggestAt(block.LabelRanges[0], instead, "Unknown engine", "There is no engine %q.%s", t.Engine, sentence)
		return cty.DynamicVal
	}

	b := l.general().open(block, targetSchema.withEngine(engine))
	t.Endpoints = b.endpoints(engine, block)
	t.TraceDir = b.str("trace_dir")
	t.Version = b.str("version")
	t.Files = decodeFiles(b)
	t.Auth = decodeAuth(b, t)
	t.TLS = decodeTLS(b, t)
	t.Launch = decodeLaunch(b, engine, t)
	t.Gate = decodeGate(b, engine, t)
	t.Options = b.options()

	if l.report.failedSince(before) {
		return cty.DynamicVal
	}
	l.decodedTargets[t.Address()] = t
	return t.value()
}

// value is what an expression sees of the target: the same attributes for every
// engine, so that targets can stand side by side in a list.
func (t *Target) value() cty.Value {
	endpoints := cty.ListValEmpty(cty.String)
	if len(t.Endpoints) > 0 {
		var values []cty.Value
		for _, e := range t.Endpoints {
			values = append(values, cty.StringVal(e))
		}
		endpoints = cty.ListVal(values)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"address":   cty.StringVal(t.Address()),
		"engine":    cty.StringVal(t.Engine),
		"name":      cty.StringVal(t.Name),
		"endpoints": endpoints,
		"trace_dir": stringOrNull(t.TraceDir),
		"version":   stringOrNull(t.Version),
	})
}

func stringOrNull(s string) cty.Value {
	if s == "" {
		return cty.NullVal(cty.String)
	}
	return cty.StringVal(s)
}

// endpoints are the target's URLs, each once.
func (b *body) endpoints(engine TargetSchema, block *hclsyntax.Block) []string {
	items, g, ok := b.list("endpoints")
	if !ok {
		fromInventory := slices.ContainsFunc(block.Body.Blocks, func(c *hclsyntax.Block) bool { return c.Type == "inventory" })
		if engine.NeedsEndpoint && !b.has("endpoints") && !fromInventory {
			b.report.errorAt(b.header, "Missing attribute", "A target of the engine %q needs endpoints: the base URLs of its API, such as [\"http://127.0.0.1:8000\"].", block.Labels[0])
		}
		return nil
	}
	var endpoints []string
	for _, it := range items {
		text, ok := b.convertItem(g, it, "endpoints")
		if !ok {
			continue
		}
		endpoint, ok := b.parseURL(g, it.at, "endpoints", text)
		if !ok {
			continue
		}
		if slices.Contains(endpoints, endpoint) {
			b.failAt(g, it.at, "", "Endpoint written twice", "%s is in the list already.", endpoint)
			continue
		}
		endpoints = append(endpoints, endpoint)
	}
	return endpoints
}

// url is an attribute that is one base URL.
func (b *body) url(name string) string {
	text := b.str(name)
	if text == "" {
		return ""
	}
	g := b.given[name]
	endpoint, _ := b.parseURL(g, g.at, name, text)
	return endpoint
}

// parseURL checks a base URL and writes it without a trailing slash. Messages
// don't repeat the text: a URL may hold a password.
func (b *body) parseURL(g given, at hcl.Range, name, text string) (string, bool) {
	refuse := func(instead, format string, args ...any) (string, bool) {
		b.failAt(g, at, instead, "Invalid URL", "An address in "+name+" "+format, args...)
		return "", false
	}
	u, err := url.Parse(text)
	switch {
	case text == "":
		return refuse("", "must not be empty.")
	case !strings.Contains(text, "://") && !strings.Contains(text, "@"):
		return refuse("http://"+text, "must begin with http:// or https://. Did you mean %q?", "http://"+text)
	case err != nil:
		b.sources.secrets[text] = true
		return refuse("", "is not a URL: it is written http://HOST:PORT.")
	case u.User != nil:
		b.sources.secrets[text] = true
		return refuse("", "must not hold a user and a password, since it is shown in the plan. Use the block auth.")
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("", "must begin with http:// or https://.")
	case u.Hostname() == "":
		return refuse("", "names no host: it is written http://HOST:PORT.")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return refuse("", "must be a base URL, without a query (?) or fragment (#).")
	case !validPort(u.Port()) || strings.HasSuffix(u.Host, ":"):
		return refuse("", "has no valid port: it is a number from 1 to 65535.")
	}
	u.Host = strings.ToLower(u.Host)
	return strings.TrimRight(u.String(), "/"), true
}

func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 1 && n <= 65535
}

func decodeFiles(target *body) Files {
	block := target.block("files")
	if block != nil {
		if from := block.Body.Attributes["from"]; from != nil {
			v, diags := from.Expr.Value(nil)
			if !diags.HasErrors() && v.Type() == cty.String && !v.IsNull() && contains(laterFileSources, v.AsString()) {
				target.report.errorAt(from.Expr.Range(), "Not supported by this version", "Files from %q are part of the language, but this version of profjob can only read those that are \"local\" or come through the \"gate\".", v.AsString())
				return Files{}
			}
		}
	}
	return Files{From: target.child("files").str("from")}
}

// token is a secret that is sent in a header.
func (b *body) token(block, name string, t *Target) Secret {
	g, ok := b.lookup(name)
	if !ok {
		return Secret{}
	}
	v, err := convert.Convert(plain(g.value), cty.String)
	switch {
	case err != nil:
		b.fail(g, "", "Wrong type", "%s must be a string, not %s.", name, typeName(plain(g.value).Type()))
		return Secret{}
	case v.AsString() == "":
		b.fail(g, "", "Empty string", "%s must not be empty.", name)
		return Secret{}
	case strings.HasSuffix(v.AsString(), "\n"):
		b.fail(g, "", "Invalid string", "%s ends in a newline, as the content of a file often does: trimspace(file(…)) is without.", name)
		return Secret{}
	case strings.ContainsFunc(v.AsString(), func(r rune) bool { return r <= ' ' || r > '~' }):
		b.fail(g, "", "Invalid string", "%s must consist of visible ASCII characters, without spaces.", name)
		return Secret{}
	}
	return b.secret(t, block+"."+name, v.AsString(), isSensitive(g.value))
}

// secret keeps a value that is sensitive apart from where it is used.
func (l *loader) secret(t *Target, path, value string, sensitive bool) Secret {
	if !sensitive {
		return Secret{Value: value}
	}
	ref := t.Address() + "." + path
	if l.targetSecrets[t.Address()] == nil {
		l.targetSecrets[t.Address()] = map[string]string{}
	}
	l.targetSecrets[t.Address()][ref] = value
	return Secret{Ref: ref}
}

func decodeLaunch(target *body, engine TargetSchema, t *Target) *Launch {
	block := target.block("launch")
	if block == nil {
		return nil
	}
	if !engine.Launchable {
		target.report.errorAt(block.DefRange(), "Cannot be launched", "profjob cannot start a server of the engine %q: start it by other means and leave this block out.", t.Engine)
		return nil
	}
	b := target.child("launch")
	return &Launch{
		Command:      b.command("command"),
		Env:          b.env("env", t),
		ReadyTimeout: b.duration("ready_timeout"),
	}
}

// command is a program and its arguments, of which an argument may be empty.
func (b *body) command(name string) []string {
	items, g, _ := b.list(name)
	var words []string
	for i, it := range items {
		word, ok := b.convertItem(g, it, name)
		switch {
		case !ok:
		case i == 0 && word == "":
			b.failAt(g, it.at, "", "Empty string", "The first element of %s is the program and must not be empty.", name)
		case strings.ContainsRune(word, 0):
			b.failAt(g, it.at, "", "Invalid string", "An element of %s must not contain a NUL character.", name)
		default:
			words = append(words, word)
		}
	}
	return words
}

// env is a map of environment variables, any of which may be sensitive.
func (b *body) env(name string, t *Target) map[string]Secret {
	g, ok := b.lookup(name)
	if !ok {
		return nil
	}
	if ty := g.value.Type(); !ty.IsObjectType() && !ty.IsMapType() {
		b.fail(g, "", "Wrong type", "%s must be a map, such as { NAME = \"value\" }, not %s.", name, typeName(ty))
		return nil
	}
	whole, marks := g.value.Unmark()
	sensitive := marks.Has(sensitiveMark{})
	env := map[string]Secret{}
	for it := whole.ElementIterator(); it.Next(); {
		key, value := it.Element()
		variable := key.AsString()
		if sensitive {
			// The names may be as secret as the values, but whoever uses a name
			// as that of an environment variable lets every process see it.
			value = value.Mark(sensitiveMark{})
		}
		text, ok := b.envValue(g, variable, value)
		if ok {
			env[variable] = b.secret(t, "launch.env."+variable, text, isSensitive(value))
		}
	}
	return env
}

// envValue checks one environment variable.
func (b *body) envValue(g given, name string, value cty.Value) (string, bool) {
	s, err := convert.Convert(plain(value), cty.String)
	switch {
	case name == "" || strings.ContainsAny(name, "=\x00"):
		b.fail(g, "", "Invalid name", "The name of an environment variable must not be empty and must not contain \"=\".")
		return "", false
	case err != nil || s.IsNull():
		b.fail(g, "", "Wrong type", "The environment variable %s must be a string.", name)
		return "", false
	case strings.ContainsRune(s.AsString(), 0):
		b.fail(g, "", "Invalid string", "The environment variable %s must not contain a NUL character.", name)
		return "", false
	}
	return s.AsString(), true
}

// options are the attributes that only this engine has.
func (b *body) options() map[string]cty.Value {
	options := map[string]cty.Value{}
	for _, arg := range b.schema.Arguments {
		if arg.engine == nil {
			continue
		}
		if v, ok := b.option(arg); ok {
			options[arg.Name] = v
		}
	}
	return options
}

func (b *body) option(arg Argument) (cty.Value, bool) {
	g, ok := b.lookup(arg.Name)
	if !ok {
		return arg.engine.Default, arg.engine.Default != cty.NilVal
	}
	v := plain(g.value)
	if arg.engine.Type != cty.NilType {
		converted, err := convert.Convert(v, arg.engine.Type)
		if err != nil {
			b.fail(g, "", "Wrong type", "%s must be a %s: %s.", arg.Name, arg.Type, err)
			return cty.NilVal, false
		}
		v = converted
	}
	if v.Type() == cty.String && b.checkString(&arg, g, g.at, v.AsString()) == "" {
		return cty.NilVal, false
	}
	return v, true
}
