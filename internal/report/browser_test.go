package report

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"profjob/internal/analysis"
	"profjob/internal/trace"
)

// browsers are the names that headless Chromium goes by.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chrome-headless-shell"}

func browser(t *testing.T) string {
	t.Helper()
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("none of %s is installed: the page is not looked at in a browser", strings.Join(browsers, ", "))
	return ""
}

// artifacts is where pictures are left: the directory that PROFJOB_TEST_ARTIFACTS names,
// or that of `go test -artifacts`.
func artifacts(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PROFJOB_TEST_ARTIFACTS")
	if dir == "" {
		return t.ArtifactDir()
	}
	dir = filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// browse runs the browser on a page and gives what it printed.
func browse(t *testing.T, path string, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr", "--v=0", "--user-data-dir=" + t.TempDir(), "--virtual-time-budget=2000"}, flags...)
	cmd := exec.CommandContext(ctx, browser(t), append(args, (&url.URL{Scheme: "file", Path: path}).String())...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, log.Bytes())
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "CONSOLE") { // an error of the script, or what the policy forbids
			t.Errorf("the browser says: %s", line)
		}
	}
	return out.String()
}

// TestBrowser shows pages in a browser, in both colour schemes, in two widths and
// printed, and leaves the pictures.
func TestBrowser(t *testing.T) {
	browser(t)
	for name, p := range pages(t) {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.Abs(artifacts(t))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "report.html")
			if err := os.WriteFile(path, written(t, p), 0o644); err != nil {
				t.Fatal(err)
			}
			dom := browse(t, path, "--dump-dom")
			if !strings.Contains(dom, `<button type="button">`) || !strings.Contains(dom, "Click a step") {
				t.Error("the script of the page did not run")
			}
			for picture, flags := range map[string][]string{
				"light.png":  {"--window-size=1280,2600"},
				"dark.png":   {"--window-size=1280,2600", "--force-dark-mode", "--blink-settings=preferredColorScheme=0"},
				"narrow.png": {"--window-size=800,2600"},
			} {
				browse(t, path, append(flags, "--screenshot="+filepath.Join(dir, picture))...)
				notEmpty(t, filepath.Join(dir, picture), "\x89PNG")
			}
			browse(t, path, "--no-pdf-header-footer", "--print-to-pdf="+filepath.Join(dir, "report.pdf"))
			notEmpty(t, filepath.Join(dir, "report.pdf"), "%PDF-")
		})
	}
}

func notEmpty(t *testing.T, path, begin string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) < 5000 || !bytes.HasPrefix(data, []byte(begin)) {
		t.Errorf("%s has %d bytes, and begins with %.8q", path, len(data), data)
	}
}

// TestBrowserKeys presses keys and buttons: a script that is beside the page's own, in
// a copy without the policy, and says in the document what came of it.
func TestBrowserKeys(t *testing.T) {
	browser(t)
	page := string(written(t, small()))
	policy := `<meta http-equiv="Content-Security-Policy"`
	if !strings.Contains(page, policy) {
		t.Fatal("the page has no policy")
	}
	page = strings.Replace(page, policy, "<meta name=\"none\"", 1)
	page = strings.Replace(page, "</body>", `<script>
const chart = document.querySelector(".timeline [tabindex]");
const read = () => document.querySelector(".readout").textContent;
const press = (key) => chart.dispatchEvent(new KeyboardEvent("keydown", {key}));
const said = [];
press("ArrowRight"); said.push(read());
press("ArrowRight"); said.push(read());
press("End"); press("ArrowRight"); said.push(read());
press("Home"); press("ArrowLeft"); said.push(read());
const table = [...document.querySelectorAll("table")].find((t) => t.caption.textContent.startsWith("Top operators"));
const names = () => [...table.tBodies[0].rows].map((r) => r.cells[0].textContent).join(" ");
const sort = (at) => { table.tHead.rows[0].cells[at].firstChild.click(); said.push(names(), table.tHead.rows[0].cells[at].ariaSort); };
sort(0); sort(3); sort(3);
document.title = said.join("|");
</script></body>`, 1)
	path := filepath.Join(t.TempDir(), "keys.html")
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	dom := browse(t, path, "--dump-dom")
	_, title, _ := strings.Cut(dom, "<title>")
	title, _, _ = strings.Cut(title, "</title>")
	want := []string{
		"step 0, decode: 10 ms, 4 tokens, 4 requests, device busy 8.10 ms of 9 ms",
		"step 1, decode: 20 ms, – tokens, – requests, device busy 8.10 ms of 9 ms",
		"step 2, idle: 900 ms, 0 tokens, 0 requests, device busy 8.10 ms of 9 ms",
		"step 0, decode: 10 ms, 4 tokens, 4 requests, device busy 8.10 ms of 9 ms",
		"aten::add aten::mm", "ascending", "aten::mm aten::add", "descending", "aten::add aten::mm", "ascending",
	}
	if got := strings.Split(title, "|"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// pages are those that are looked at: a small one, and of real traces where they are.
func pages(t *testing.T) map[string]Page {
	t.Helper()
	all := map[string]Page{"small": small(), "hostile": hostile(), "many": many()}
	shared := filepath.Join("..", "..", "..", "shared", "traces")
	for name, pattern := range map[string]string{
		"mixed-graph": "tracelens/vllm-mixed-piecewise-graph.json.gz",
		"detailed":    "vllm-cpu/v0.32.0-manual-detailed.json.gz",
		"tp2":         "vllm-cpu/v0.32.0-tp2/*.json.gz",
	} {
		files, err := filepath.Glob(filepath.Join(shared, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			t.Logf("%s is not there: no page of it", pattern)
			continue
		}
		var inputs []analysis.Input
		for _, f := range files {
			inputs = append(inputs, analysis.Input{Path: f, Name: filepath.Base(f)})
		}
		set, err := analysis.ReadSet(t.Context(), inputs, trace.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p := Page{Sets: []analysis.Set{*set}}
		for _, f := range files {
			p.Links = append(p.Links, Link{File: filepath.Base(f), Path: filepath.Base(f)})
		}
		all[name] = p
	}
	return all
}

// many is a page of more steps than there is room for.
func many() Page {
	steps := make([]analysis.Step, 5000)
	classes := []analysis.Group{{Class: trace.Prefill}, {Class: trace.Decode}}
	for i := range steps {
		s := analysis.Step{Index: i, Name: "execute", Class: trace.Decode, Tokens: 64, Requests: 64, Whole: true, Duration: int64(8_000_000 + i%97*20_000)}
		if i%250 < 6 {
			s.Class, s.Tokens, s.Duration = trace.Prefill, 8192, 31_000_000
		}
		g := &classes[1]
		if s.Class == trace.Prefill {
			g = &classes[0]
		}
		g.Steps++
		steps[i] = s
	}
	return Page{Sets: []analysis.Set{{Traces: []analysis.Trace{{File: "many.json.gz", Steps: steps, Classes: classes, Total: analysis.Group{Steps: 5000, Operators: []analysis.Operator{{Name: "aten::mm", Count: 5000, Self: 5, PerStep: make([]int64, 5000)}}}}}}}}
}
