package gate

import (
	"encoding/json"
	"math"
	"regexp"
)

// fields reads a JSON object field by field. The first fault is kept, and what
// is read after it means nothing; what is left over at the end is a fault, too.
type fields struct {
	object *object
	path   string
	fault  **refusal // shared with the objects within
}

func newFields(v any) *fields {
	var fault *refusal
	return within(v, "", &fault)
}

func within(v any, path string, fault **refusal) *fields {
	f := &fields{object: &object{values: map[string]any{}}, path: path, fault: fault}
	if v == nil {
		return f
	}
	o, ok := v.(*object)
	if !ok {
		if path == "" {
			path = "body"
		}
		f.fail(bad(path, "want a JSON object"))
		return f
	}
	f.object = o
	return f
}

func (f *fields) fail(r *refusal) {
	if *f.fault == nil {
		*f.fault = r
	}
}

// failed gives the first fault.
func (f *fields) failed() *refusal { return *f.fault }

func (f *fields) name(key string) string {
	if f.path == "" {
		return key
	}
	return f.path + "." + key
}

// take gives a field's value and takes it out; null is the same as absent.
func (f *fields) take(key string) any {
	v := f.object.values[key]
	delete(f.object.values, key)
	return v
}

// whole reads a whole number; nil where there is none.
func (f *fields) whole(key string, low, high int64) *int64 {
	v := f.take(key)
	if v == nil {
		return nil
	}
	n, ok := v.(json.Number)
	if !ok || !isWhole(n) {
		f.fail(bad(f.name(key), "want a whole number"))
		return nil
	}
	i, err := n.Int64()
	if err != nil || i < low || i > high {
		f.fail(bad(f.name(key), "want %d to %d, not %s", low, high, number(n)))
		return nil
	}
	return &i
}

// count is whole with a default.
func (f *fields) count(key string, otherwise, low, high int64) int64 {
	if n := f.whole(key, low, high); n != nil {
		return *n
	}
	return otherwise
}

// seconds reads a number; nil where there is none.
func (f *fields) seconds(key string, low, high float64) *float64 {
	v := f.take(key)
	if v == nil {
		return nil
	}
	n, ok := v.(json.Number)
	if !ok {
		f.fail(bad(f.name(key), "want a number"))
		return nil
	}
	s, _ := n.Float64() // out of range is an infinity
	if s < low || s > high {
		f.fail(bad(f.name(key), "want %s to %s, not %s", bound(low), float(high), number(n)))
		return nil
	}
	return &s
}

// bound writes a lower bound: the plugin's are 1 and 0.001.
func bound(f float64) string {
	if f == math.Trunc(f) {
		return short(f)
	}
	return float(f)
}

// span is seconds with a default.
func (f *fields) span(key string, otherwise, low, high float64) float64 {
	if s := f.seconds(key, low, high); s != nil {
		return *s
	}
	return otherwise
}

func (f *fields) flag(key string) bool {
	switch v := f.take(key).(type) {
	case nil:
		return false
	case bool:
		return v
	}
	f.fail(bad(f.name(key), "want true or false"))
	return false
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// text reads a name; nil where there is none.
func (f *fields) text(key string) *string {
	v := f.take(key)
	if v == nil {
		return nil
	}
	s, ok := v.(string)
	if !ok || !namePattern.MatchString(s) {
		f.fail(bad(f.name(key), "want 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"))
		return nil
	}
	return &s
}

// fields reads an object within.
func (f *fields) fields(key string) *fields {
	return within(f.take(key), f.name(key), f.fault)
}

// end refuses what nobody has taken.
func (f *fields) end() {
	for _, key := range f.object.keys {
		if _, left := f.object.values[key]; left {
			f.fail(bad(f.name(first(key, 64)), "not known to protocol %d", protocol))
			return
		}
	}
}

func first(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}
