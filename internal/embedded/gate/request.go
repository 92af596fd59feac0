package gate

import (
	"encoding/json"
	"slices"
	"strings"

	"profjob/internal/embedded/kineto"
)

// What no request can go beyond.
const (
	hardSteps   = 10000
	hardSeconds = 3600.0
	hardBytes   = 64 << 30
	maxLease    = 3600.0
	maxCount    = 1 << 40
)

// request is what an arming asks for, with what it left open filled in.
type request struct {
	session    string
	prefix     string
	lease      float64 // seconds
	limits     limits
	window     window
	record     kineto.Options
	activities []string // nil: all
}

type limits struct {
	steps   int64
	seconds float64
	bytes   int64
}

// window says which engine steps to record; one of steps and duration is set.
type window struct {
	steps     *int64
	duration  *float64 // seconds
	threshold int64
	atMost    *int64
	phase     string
	all       bool
	skip      int64 // newly scheduled requests
	delay     int64 // engine steps
}

// parseArm checks an arm request. The fields are taken in the plugin's order,
// which decides what is told of several faults.
func parseArm(body any) (*request, *refusal) {
	f := newFields(body)
	if p, ok := f.take("protocol"), f.failed() == nil; ok && !isProtocol(p) {
		f.fail(bad("protocol", "this gate speaks protocol %d, not %s", protocol, repr(p)))
	}
	r := &request{session: f.required("session")}
	l := f.fields("limits")
	if prefix := f.object.values["prefix"]; prefix == "" {
		f.take("prefix") // as good as none
	}
	if prefix := f.text("prefix"); prefix != nil {
		r.prefix = *prefix
	}
	r.lease = f.span("lease_s", 30, 1, maxLease)
	r.limits = limits{
		steps:   l.count("max_steps", 1000, 1, hardSteps),
		seconds: l.span("max_seconds", 300, 0.001, hardSeconds),
		bytes:   l.count("max_bytes", 8<<30, 1, hardBytes),
	}
	r.window = parseWindow(f.fields("window"))
	r.record = parseRecord(f.fields("record"))
	r.activities = f.activities()
	l.end()
	f.end()
	r.bounded(f)
	return r, f.failed()
}

// isProtocol tells whether Python thinks a value equal to the protocol's number
// and no bool.
func isProtocol(v any) bool {
	n, ok := v.(json.Number)
	if !ok {
		return false
	}
	f, err := n.Float64()
	return err == nil && f == protocol
}

// required reads a name that must be there.
func (f *fields) required(key string) string {
	if s := f.text(key); s != nil {
		return *s
	}
	f.fail(bad(f.name(key), "missing"))
	return ""
}

// bounded checks the window against the limits.
func (r *request) bounded(f *fields) {
	if n := r.window.steps; n != nil && *n > r.limits.steps {
		f.fail(bad("window.steps", "%d is more than limits.max_steps, %d", *n, r.limits.steps))
	}
	if d := r.window.duration; d != nil && *d > r.limits.seconds {
		f.fail(bad("window.duration_s", "%s is more than limits.max_seconds, %s", short(*d), short(r.limits.seconds)))
	}
}

var phases = []string{"any", "decode", "prefill", "mixed"}

func parseWindow(f *fields) window {
	w := window{
		steps:     f.whole("steps", 1, hardSteps),
		duration:  f.seconds("duration_s", 0.001, hardSeconds),
		threshold: f.count("threshold", 1, 1, maxCount),
		atMost:    f.whole("at_most", 1, maxCount),
		phase:     "any",
	}
	phase := f.take("phase")
	if s, ok := phase.(string); ok {
		w.phase = s
	}
	w.all = f.flag("all")
	w.skip = f.count("skip_requests", 0, 0, maxCount)
	w.delay = f.count("delay", 0, 0, maxCount)
	f.end()
	if _, isText := phase.(string); phase != nil && !isText || !slices.Contains(phases, w.phase) {
		f.fail(bad("window.phase", "want one of %s", strings.Join(phases, ", ")))
	}
	if (w.steps == nil) == (w.duration == nil) {
		f.fail(bad("window.steps", "want either steps or duration_s"))
	}
	if w.atMost != nil && *w.atMost < w.threshold {
		f.fail(bad("window.at_most", "%d is less than threshold, %d", *w.atMost, w.threshold))
	}
	return w
}

func parseRecord(f *fields) kineto.Options {
	o := kineto.Options{Shapes: f.flag("shapes"), Memory: f.flag("memory"), Stack: f.flag("stack"), FLOPs: f.flag("flops")}
	f.end()
	return o
}

func (f *fields) activities() []string {
	v := f.take("activities")
	if v == nil {
		return nil
	}
	var names []string
	list, ok := v.([]any)
	for _, a := range list {
		name, isText := a.(string)
		ok = ok && isText && (name == "cpu" || name == "device")
		names = append(names, name)
	}
	if !ok || len(list) == 0 {
		f.fail(bad("activities", `want a list of "cpu" and "device"`))
		return nil
	}
	slices.Sort(names)
	return slices.Compact(names)
}
