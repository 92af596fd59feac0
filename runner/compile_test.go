package runner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"profjob/internal/engine/kinds"
	"profjob/internal/wire"
	"profjob/spec"
	"profjob/steps"
)

const token = "t0k-s3cret"

// catalog is what the language knows of the engines.
func catalog() spec.Catalog {
	c := spec.Catalog{}
	for _, k := range kinds.All() {
		var own []spec.Attribute
		for _, o := range k.Options {
			own = append(own, spec.Attribute{Name: o.Name, Type: o.Type, Default: o.Default, OneOf: o.OneOf, Doc: o.Doc})
		}
		c[k.Name] = spec.TargetSchema{Doc: k.Doc, NeedsEndpoint: k.NeedsEndpoint, Launchable: k.Launchable, Attributes: own}
	}
	return c
}

// jobs reads the jobs of a file, by address.
func jobs(t testing.TB, path string) map[string]*spec.Job {
	t.Helper()
	return load(t, path, map[string]string{"token": token, "endpoint": "http://10.0.0.1:8000"})
}

func load(t testing.TB, path string, vars map[string]string) map[string]*spec.Job {
	t.Helper()
	file, diags := spec.LoadFile(t.Context(), path, catalog(), spec.Inputs{Vars: vars})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	all := map[string]*spec.Job{}
	for _, j := range file.Jobs {
		all[j.Address] = j
	}
	return all
}

func jobOf(t testing.TB, text string) *spec.Job {
	t.Helper()
	path := filepath.Join(t.TempDir(), "job.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, j := range load(t, path, nil) {
		return j
	}
	t.Fatal("no job")
	return nil
}

func compile(t testing.TB, job *spec.Job) *Plan {
	t.Helper()
	p, diags := Compile(job)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return p
}

func encode(t testing.TB, p *Plan) []byte {
	t.Helper()
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCompileGolden(t *testing.T) {
	for address, job := range jobs(t, "testdata/jobs.hcl") {
		name := strings.NewReplacer(`["`, "-", `"]`, "").Replace(address)
		t.Run(name, func(t *testing.T) {
			got := encode(t, compile(t, job))
			path := filepath.Join("testdata", name+".plan.json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs (run with -update to write it anew), got:\n%s", path, got)
			}
		})
	}
}

// The same inputs give the same bytes, whatever the order of maps and the moment.
func TestCompileIsDeterministic(t *testing.T) {
	want := map[string][]byte{}
	for range 20 {
		for address, job := range jobs(t, "testdata/jobs.hcl") {
			got := encode(t, compile(t, job))
			if want[address] == nil {
				want[address] = got
			}
			if !bytes.Equal(got, want[address]) {
				t.Fatalf("%s: two plans of the same job", address)
			}
		}
	}
}

// A plan has the reference of a secret and never its value, nor a word made of it.
func TestCompileKeepsSecretsOut(t *testing.T) {
	job := jobs(t, "testdata/jobs.hcl")["full"]
	plan := encode(t, compile(t, job))
	if bytes.Contains(plan, []byte(token)) {
		t.Error("the plan holds the secret's value")
	}
	for _, ref := range []string{"target.vllm.server.auth.bearer", "target.vllm.server.launch.env.HF_TOKEN"} {
		if !bytes.Contains(plan, []byte(`"secret": "`+ref+`"`)) {
			t.Errorf("the plan does not refer to %s", ref)
		}
		if !strings.Contains(job.Secrets[ref], token) {
			t.Errorf("the job does not have the value of %s", ref)
		}
	}
	if !bytes.Contains(plan, []byte(`"value": "2"`)) {
		t.Error("a variable that is not sensitive is not in the plan")
	}
}

// The digest changes with whatever changes what a run does, and with nothing else.
func TestDigestCoversThePlan(t *testing.T) {
	base := compile(t, jobs(t, "testdata/jobs.hcl")["full"])
	changes := map[string]func(*spec.Job){
		"address":     func(j *spec.Job) { j.Address = "another" },
		"endpoint":    func(j *spec.Job) { j.Targets[0].Endpoints[0] = "http://10.0.0.3:8000" },
		"trace dir":   func(j *spec.Job) { j.Targets[0].TraceDir = "/elsewhere" },
		"command":     func(j *spec.Job) { j.Targets[0].Launch.Command[2] = "large" },
		"environment": func(j *spec.Job) { j.Targets[0].Launch.Env["OMP_NUM_THREADS"] = spec.Secret{Value: "3"} },
		"load":        func(j *spec.Job) { j.Load.Rate++ },
		"seed":        func(j *spec.Job) { j.Load.Seed-- },
		"warmup":      func(j *spec.Job) { j.Warmup.Requests++ },
		"count":       func(j *spec.Job) { j.Window.Steps.Count++ },
		"delay":       func(j *spec.Job) { j.Window.Steps.Delay++ },
		"timeout":     func(j *spec.Job) { j.Window.Timeout++ },
		"attempts":    func(j *spec.Job) { j.Window.Attempts++ },
		"evidence":    func(j *spec.Job) { j.Window.Evidence = "annotation" },
		"record":      func(j *spec.Job) { j.Record.FLOPs = false },
		"activities":  func(j *spec.Job) { j.Record.Activities = []string{"cpu"} },
		"retry":       func(j *spec.Job) { j.Retry.Multiplier = 4 },
		"limits":      func(j *spec.Job) { j.Limits.MaxTraceSize++ },
		"repeat":      func(j *spec.Job) { j.Repeat++ },
		"ranks":       func(j *spec.Job) { j.Collect.ExpectRanks++ },
		"original":    func(j *spec.Job) { j.Collect.KeepOriginal = true },
		"archive":     func(j *spec.Job) { j.Archive.Format = "dir" },
		"mode":        func(j *spec.Job) { j.Archive.Mode = 0o640 },
		"key":         func(j *spec.Job) { j.Targets[0].Auth.APIKey = spec.Secret{Value: "k"} },
		"header":      func(j *spec.Job) { j.Targets[0].Auth.APIKey, j.Targets[0].Auth.Header = spec.Secret{Value: "k"}, "X" },
		"CA":          func(j *spec.Job) { j.Targets[0].TLS = &spec.TLS{CA: "none.pem"} }, // read by nobody here
	}
	for name, change := range changes {
		job := jobs(t, "testdata/jobs.hcl")["full"]
		change(job)
		if p := compile(t, job); p.Digest == base.Digest {
			t.Errorf("%s does not change the digest", name)
		}
	}
	job := jobs(t, "testdata/jobs.hcl")["full"]
	job.Secrets["target.vllm.server.auth.bearer"] = "another value"
	job.Targets[0].DeclRange = hcl.Range{Filename: "moved.hcl"}
	if p := compile(t, job); p.Digest != base.Digest {
		t.Error("a secret's value or a block's place changes the digest")
	}
}

func TestCompileOrder(t *testing.T) {
	var ids []string
	for _, p := range compile(t, jobs(t, "testdata/jobs.hcl")["full"]).Steps {
		ids = append(ids, p.Step.ID())
	}
	want := "launch probe preflight round-01/warmup round-01/window round-01/collect round-01/verify " +
		"round-02/warmup round-02/window round-02/collect round-02/verify shutdown analyze seal store"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"names": {`target "embedded" "a" {}
target "vllm" "a" {
  endpoints = ["http://h:1"]
}
job "x" {
  targets = [target.embedded.a, target.vllm.a]
  window {
    steps {
      count = 2
    }
  }
}`, "Two targets of one name"},
		"endpoints": {`target "vllm" "a" {
  endpoints = ["http://h:1", "http://h:2"]
}
target "vllm" "b" {
  endpoints = ["http://h:2"]
}
job "x" {
  targets = [target.vllm.a, target.vllm.b]
  window {
    steps {
      count = 2
    }
  }
}`, "An endpoint in two targets"},
		"one trace_dir":        {twoDirs("/var/traces", "/var/x/../traces/"), "Two targets of a job with one trace_dir"},
		"trace_dir in another": {twoDirs("traces/a", "./traces"), "Two targets of a job with one trace_dir"},
	} {
		t.Run(name, func(t *testing.T) {
			plan, diags := Compile(jobOf(t, c.text))
			if plan != nil || len(diags) != 1 || !strings.Contains(diags[0].Summary, c.want) || diags[0].Subject == nil {
				t.Errorf("got %v, %v", plan, diags)
			}
		})
	}
}

// twoDirs is a job of two targets that write into two directories.
func twoDirs(a, b string) string {
	return fmt.Sprintf(`target "vllm" "a" {
  endpoints = ["http://h:1"]
  trace_dir = %q
}
target "vllm" "b" {
  endpoints = ["http://h:2"]
  trace_dir = %q
}
job "x" {
  targets = [target.vllm.a, target.vllm.b]
  window {
    steps {
      count = 2
    }
  }
}`, a, b)
}

// Directories beside one another can be told apart, whatever their names begin with.
func TestCompileTakesTraceDirsApart(t *testing.T) {
	for _, dirs := range [][2]string{{"/traces/a", "/traces/b"}, {"/traces", "/traces-b"}, {"a", "..a"}, {"traces", "/traces"}} {
		compile(t, jobOf(t, twoDirs(dirs[0], dirs[1])))
	}
	job := jobOf(t, twoDirs("traces", "/elsewhere"))
	job.Targets[1].TraceDir = filepath.Join(job.Dir, "traces", "b")
	if _, diags := Compile(job); !diags.HasErrors() {
		t.Error("an absolute directory below a relative one was taken")
	}
}

// What a plan leaves open is filled in by defaults of its own.
func TestCompileWithoutWarmup(t *testing.T) {
	plan := compile(t, jobs(t, "testdata/jobs.hcl")["open"])
	for _, p := range plan.Steps {
		if w, ok := p.Step.(*steps.Warmup); ok && (w.Traffic != nil || w.Timeout != wire.Duration(defaultWarmupTimeout)) {
			t.Errorf("warmup %+v", w)
		}
	}
	if plan.Probe() == nil || plan.Probe().Target("other").TraceDir != "traces" || plan.Probe().Target("nobody").Name != "" {
		t.Error("the plan's probe does not know its targets")
	}
	if (&Plan{}).Probe() != nil {
		t.Error("an empty plan has a probe")
	}
}

// A number of a target's own attribute keeps all of its digits on its way through a plan.
func TestOptionsAreExact(t *testing.T) {
	plan := encode(t, compile(t, jobs(t, "testdata/jobs.hcl")["least"]))
	if !bytes.Contains(plan, []byte(`"seed": 9007199254740993`)) {
		t.Errorf("the seed is not in the plan:\n%s", plan)
	}
	p, err := DecodePlan(plan)
	if err != nil {
		t.Fatal(err)
	}
	launch := p.Steps[0].Step.(*steps.Launch)
	if got := launch.Targets[0].Options["seed"]; got != json.Number("9007199254740993") {
		t.Errorf("the seed is %v", got)
	}
}
