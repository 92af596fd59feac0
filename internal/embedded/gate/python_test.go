package gate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plugin is the plugin's own code, in a process of its own.
type plugin struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func startPlugin(t *testing.T) *plugin {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	folder, err := filepath.Abs(filepath.Join("..", "..", "gate", "plugin"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-B", filepath.Join("testdata", "beside.py"), folder)
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the plugin's code: %v\n%s", err, said.String())
		}
	})
	return &plugin{t, in, bufio.NewReader(out)}
}

// ask gives the plugin's answer as JSON that is decoded.
func (p *plugin) ask(question any) any {
	p.t.Helper()
	line, err := json.Marshal(question)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return decoded(p.t, []byte(answer))
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// plain is a value as JSON that is decoded again.
func plain(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text)
}

func (r *refusal) plain(t *testing.T) any {
	t.Helper()
	v := plain(t, r.body()).(map[string]any)
	v["status"] = float64(r.status)
	return v
}

// plain is a request in the plugin's form.
func (r *request) plain(t *testing.T) any {
	w := r.window
	return plain(t, map[string]any{"request": map[string]any{
		"session": r.session, "prefix": r.prefix, "lease_s": r.lease, "activities": r.activities,
		"limits": map[string]any{"max_steps": r.limits.steps, "max_seconds": r.limits.seconds, "max_bytes": r.limits.bytes},
		"record": map[string]any{"shapes": r.record.Shapes, "memory": r.record.Memory, "stack": r.record.Stack, "flops": r.record.FLOPs},
		"window": map[string]any{
			"steps": w.steps, "duration_s": w.duration, "threshold": w.threshold, "at_most": w.atMost, "phase": w.phase,
			"all": w.all, "skip_requests": w.skip, "delay": w.delay,
		},
	}})
}

// armSays is what a body of an arm request says here.
func armSays(t *testing.T, text string) any {
	t.Helper()
	v, err := decode([]byte(text))
	if err != nil {
		return bad("body", "%v", err).plain(t)
	}
	r, refused := parseArm(v)
	if refused != nil {
		return refused.plain(t)
	}
	return r.plain(t)
}

// TestRequestsBesideThePlugin compares what requests are taken for, and the texts
// of refusals.
func TestRequestsBesideThePlugin(t *testing.T) {
	p := startPlugin(t)
	check := func(text string) {
		t.Helper()
		if diff := cmp.Diff(p.ask(map[string]any{"arm": text}), armSays(t, text)); diff != "" {
			t.Errorf("%s (plugin -, here +)\n%s", text, diff)
		}
	}
	for _, text := range []string{
		``, `null`, `{}`, `[]`, `5`, `"x"`, `true`, `not JSON`, `{`, `{"a":1,}`, `{} {}`, "\xff", `{"protocol":1.0,"session":"s","window":{"steps":1}}`,
		`{"protocol":[1,"a",{"b":null}]}`, `{"protocol":"it's"}`, `{"protocol":1e0,"session":"s","window":{"steps":1}}`, `{"protocol":false}`,
		`{"protocol":1,"protocol":2}`, `{"session":"../x","protocol":2}`, `{"protocol":1}`, `{"protocol":1,"session":null}`,
		`{"protocol":1,"session":"s","limits":5,"prefix":"/"}`, `{"protocol":1,"session":"s","prefix":"","window":{"steps":1}}`,
		strings.Repeat("[", 500) + strings.Repeat("]", 500),
	} {
		check(text)
	}
	values := []string{
		`null`, `0`, `1`, `-1`, `-0`, `2`, `10000`, `10001`, `1099511627776`, `1099511627777`, `123456789012345678901234567890`, `1.0`, `1.5`, `0.001`,
		`0.0009`, `1e2`, `1e-7`, `1e400`, `-1e400`, `3600`, `3600.5`, `3601`, `true`, `false`, `"1"`, `"x"`, `""`, `"a b"`, `"decode"`, `"any"`, `[]`, `["cpu"]`,
		`["device","cpu","cpu"]`, `["gpu"]`, `[1]`, `{}`, `{"x":1}`, `"` + strings.Repeat("x", 64) + `"`, `"` + strings.Repeat("x", 65) + `"`, `"a\n"`, `68719476736`, `68719476737`,
	}
	for _, key := range []string{"protocol", "session", "prefix", "lease_s", "activities", "limits", "record", "window", "other"} {
		for _, v := range values {
			check(withField(nil, key, v))
		}
	}
	for group, keys := range map[string][]string{
		"limits": {"max_steps", "max_seconds", "max_bytes", "other"},
		"record": {"shapes", "memory", "stack", "flops", "other"},
		"window": {"steps", "duration_s", "threshold", "at_most", "phase", "all", "skip_requests", "delay", "\u00fc" + strings.Repeat("o", 80)},
	} {
		for _, key := range keys {
			for _, v := range values {
				check(withField([]string{group}, key, v))
			}
		}
	}
	// several faults at once: the same one is told
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		text := withField(nil, "other", "null")
		for range 3 {
			key := pick(r, []string{"prefix", "lease_s", "activities", "limits.max_steps", "limits.max_seconds", "record.shapes", "window.threshold", "window.at_most", "window.duration_s", "window.phase", "window.delay", "more"})
			group, field, ok := strings.Cut(key, ".")
			value := pick(r, values)
			if ok {
				field, value = group, fmt.Sprintf("{%q:%s,%q:%s}", field, value, "steps", pick(r, values))
			} else {
				field = group
			}
			text = strings.TrimSuffix(text, "}") + fmt.Sprintf(",%q:%s}", field, value)
		}
		check(text)
	}
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// withField is a request that is right but for one field, which comes first.
func withField(groups []string, key, value string) string {
	text := fmt.Sprintf("%q:%s", key, value)
	rest := []string{`"protocol":1`, `"session":"s"`, `"window":{"steps":5}`}
	if len(groups) > 0 {
		inner := text
		if groups[0] == "window" && key != "steps" && key != "duration_s" {
			inner += `,"steps":5`
		}
		text = fmt.Sprintf("%q:{%s}", groups[0], inner)
		key = groups[0]
	}
	rest = slices.DeleteFunc(rest, func(s string) bool { return strings.HasPrefix(s, `"`+key+`"`) })
	return "{" + strings.Join(append([]string{text}, rest...), ",") + "}"
}

func TestRangesBesideThePlugin(t *testing.T) {
	p := startPlugin(t)
	for _, header := range []string{
		"", "bytes=0-3", "bytes=4-", "bytes=-3", "bytes=-30", "bytes=0-99", "bytes=9-9", "bytes=10-", "bytes=5-4", "bytes=-", "bytes=-0",
		"bytes=0-1,3-4", "lines=0-1", "bytes=a-b", " bytes=0-1 ", "bytes=0-99999999999999999999", "bytes=99999999999999999999-", "bytes=-99999999999999999999", "bytes", "Bytes=0-1",
	} {
		want := p.ask(map[string]any{"range": header, "size": 10})
		var got any
		if first, last, refused := byteRange(header, 10); refused != nil {
			got = refused.plain(t)
		} else {
			got = plain(t, map[string]any{"range": []int64{first, last}})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (plugin -, here +)\n%s", header, diff)
		}
	}
}
