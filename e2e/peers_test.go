//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"profjob/internal/analysis"
)

var updatePeers = flag.Bool("update-peers", false, "rewrite the table of docs/analysis.md")

// breakdown is where a device's time went, in µs, as a peer says.
type breakdown struct {
	Span, Idle, Compute, Communication, Exposed, Copies float64
	Kernels                                             map[string]struct {
		Count int
		US    float64
	}
}

// opinion is a peer's breakdown: as it is, and as it is where the peer is told what it
// does not know.
type opinion struct{ Plain, Explained breakdown }

// unknownCollectives are the kernels that profjob takes for collectives and both peers
// for computation: they look for names that begin with, or have, "nccl".
const unknownCollectives = "multimem_all_reduce|cross_device_reduce"

// TestCheckPeers holds what `profjob analyze` says of device time against
// HolisticTraceAnalysis and TraceLens, on the traces that those test themselves with.
func TestCheckPeers(t *testing.T) {
	if os.Getenv("PROFJOB_PEERS") == "" {
		t.Skip("make check-peers runs it")
	}
	root := sharedTraces(t)
	var files []string
	for _, dir := range []string{"hta", "tracelens"} {
		found, err := filepath.Glob(filepath.Join(root, dir, "*.json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	venv := peers(t)
	lens := readTraceLens(t, root, files, venv)
	var rows []string
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, root+"/"), ".json.gz")
		ours := analyzed(t, file)
		if ours.Total.Device == nil {
			rows = append(rows, fmt.Sprintf("| %s | | no device work | – | – | | |", name))
			continue
		}
		var hta opinion
		python(t, venv, &hta, "breakdown.py", file, unknownCollectives)
		rows = append(rows, compare(t, name, "HTA", ours, hta)...)
		if o, ok := lens[name]; ok {
			rows = append(rows, compare(t, name, "TraceLens", ours, o)...)
		}
	}
	table := "| trace | peer | what | profjob, µs | peer, µs | same | why not |\n| --- | --- | --- | --- | --- | --- | --- |\n" + strings.Join(rows, "\n") + "\n"
	fmt.Println(table)
	checkSection(t, "../docs/analysis.md", "peers", table)
}

// compare makes the rows of one trace and peer; a difference that is not explained fails.
func compare(t *testing.T, name, peer string, ours analysis.Trace, theirs opinion) (rows []string) {
	t.Helper()
	d := ours.Total.Device
	tolerance := 0.002 * float64(d.Kernels+1) // the peers' floats: 1e12 µs have steps of about 0.0002
	row := func(what string, our int64, plain, explained float64) {
		us := float64(our) / 1000
		same, why := "yes", ""
		switch {
		case math.Abs(us-plain) <= tolerance:
		case math.Abs(us-explained) <= tolerance:
			same, why = "no", reason(peer, what)
		default:
			same, why = "**no**", "?"
			t.Errorf("%s, %s: %s is %.3f µs, %s says %.3f, and %.3f where it is told what it does not know", name, peer, what, us, peer, plain, explained)
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %.3f | %.3f | %s | %s |", name, peer, what, us, plain, same, why))
	}
	p, e := theirs.Plain, theirs.Explained
	row("first to last", d.Span, p.Span, e.Span)
	row("idle", d.Idle, p.Idle, e.Idle)
	row("computation", d.Compute, p.Compute, e.Compute)
	row("communication", d.Communication, p.Communication, e.Communication)
	row("communication alone", d.Exposed, p.Exposed, e.Exposed)
	row("copies and fills", d.Copies, p.Copies, e.Copies)
	if p.Kernels != nil {
		rows = append(rows, compareKernels(t, name, peer, ours, theirs))
	}
	return rows
}

// compareKernels compares count and time of every single kernel.
func compareKernels(t *testing.T, name, peer string, ours analysis.Trace, theirs opinion) string {
	t.Helper()
	count, theirCount := 0, 0
	var sum int64
	var theirSum float64
	for _, k := range ours.Total.Kernels {
		count, sum = count+k.Count, sum+k.Time
		p, ok := theirs.Explained.Kernels[k.Name]
		if !ok || p.Count != k.Count || math.Abs(p.US-float64(k.Time)/1000) > 0.002*float64(k.Count+1) {
			t.Errorf("%s, %s: kernel %.80s: %d in %d ns, %s says %d in %.3f µs", name, peer, k.Name, k.Count, k.Time, peer, p.Count, p.US)
		}
	}
	if len(theirs.Explained.Kernels) != len(ours.Total.Kernels) {
		t.Errorf("%s: %d kernels by name, %s says %d", name, len(ours.Total.Kernels), peer, len(theirs.Explained.Kernels))
	}
	for _, p := range theirs.Plain.Kernels {
		theirCount, theirSum = theirCount+p.Count, theirSum+p.US
	}
	same, why := "yes", ""
	if count != theirCount {
		same, why = "no", "HTA counts waits for events among the work"
	}
	return fmt.Sprintf("| %s | %s | each kernel, %d of %d names | %.3f in %d | %.3f in %d | %s | %s |",
		name, peer, len(ours.Total.Kernels), len(theirs.Plain.Kernels), float64(sum)/1000, count, theirSum, theirCount, same, why)
}

// reason says what the peer was told where that made it agree.
func reason(peer, what string) string {
	if peer == "TraceLens" && (what == "computation" || what == "copies and fills") {
		return "TraceLens takes fills of memory for computation, and knows collectives by `nccl` in their names only"
	}
	if peer == "TraceLens" {
		return "TraceLens knows collectives by `nccl` in their names only"
	}
	return "HTA knows collectives by names that begin with `nccl` only, and counts waits for events as work"
}

func analyzed(t *testing.T, file string) analysis.Trace {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(profjob(t), "analyze", "-o", "json", file)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("analyze %s: %v: %s", file, err, stderr.String())
	}
	var sets []analysis.Set
	if err := json.Unmarshal(stdout.Bytes(), &sets); err != nil {
		t.Fatal(err)
	}
	if len(sets) != 1 || len(sets[0].Traces) != 1 {
		t.Fatalf("analyze %s: %d sets", file, len(sets))
	}
	return sets[0].Traces[0]
}

// readTraceLens gives TraceLens' opinions by trace: of its module where PROFJOB_TRACELENS
// says where it is, which are then recorded, and the recorded ones else.
func readTraceLens(t *testing.T, root string, files []string, venv string) map[string]opinion {
	t.Helper()
	const recorded = "peers/tracelens.json"
	opinions := map[string]opinion{}
	module := os.Getenv("PROFJOB_TRACELENS")
	if module == "" {
		data, err := os.ReadFile(recorded)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &opinions); err != nil {
			t.Fatal(err)
		}
		fmt.Println("TraceLens: as recorded in e2e/peers/tracelens.json (PROFJOB_TRACELENS=…/TraceLens/TreePerf/gpu_event_analyser.py runs it)")
		return opinions
	}
	for _, file := range files {
		if analyzed(t, file).Total.Device == nil {
			continue
		}
		var o opinion
		python(t, venv, &o, "tracelens.py", module, file, unknownCollectives)
		opinions[strings.TrimSuffix(strings.TrimPrefix(file, root+"/"), ".json.gz")] = o
	}
	data, err := json.MarshalIndent(opinions, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recorded, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	return opinions
}

// python runs a script of e2e/peers and reads the JSON that it prints.
func python(t *testing.T, venv string, into any, script string, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(filepath.Join(venv, "bin/python"), append([]string{filepath.Join("peers", script)}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v: %s", script, args, err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		t.Fatalf("%s %v: %v: %s", script, args, err, stdout.String())
	}
}

// peers installs the peers and gives their venv.
func peers(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("peers/install.sh")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// sharedTraces is the folder of real traces beside the checkout.
func sharedTraces(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../shared/traces")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); err != nil {
		t.Skipf("the shared traces are missing beside the checkout: %v", err)
	}
	return root
}

// checkSection compares what stands in a document between the markers of a name with
// text, or writes it there with -update-peers.
func checkSection(t *testing.T, path, name, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, ok := strings.Cut(string(data), begin)
	was, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no section %s", path, name)
	}
	if *updatePeers {
		if err := os.WriteFile(path, []byte(before+begin+text+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if was != text {
		t.Errorf("%s: the table differs from what was printed; run it with -update-peers", path)
	}
}
