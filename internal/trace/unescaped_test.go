package trace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestUnescaped: what stands before a text with quotes or backslashes that were
// not escaped is read, and the error says where it is and what it looks like.
func TestUnescaped(t *testing.T) {
	const good = `{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":%d,"dur":1,"args":{"External id":1,"Input Dims":[[1],[]],"Concrete Inputs":["[1, 2]",""]}}`
	for _, test := range []struct {
		name, event string
		at          string // the offset is that of the quote before this
	}{
		{"name", `{"ph":"X","name":"say "hi" to","ts":3}`, `hi"`},
		{"name ends in a quote", `{"ph":"X","name":"say "hi"","ts":3}`, `hi"`},
		{"name begins with a quote", `{"ph":"X","name":""hi" they say","ts":3}`, `hi"`},
		{"one quote", `{"ph":"X","name":"5" wide","ts":3}`, ` wide`},
		{"comma within", `{"ph":"X","name":"say "hi", they say","ts":3}`, `hi"`},
		{"comma behind", `{"ph":"X","name":"hi", they say","ts":3}`, `, they`},
		{"argument", `{"ph":"X","name":"a","ts":3,"args":{"Call stack":"say "hi there","x":1}}`, `hi there`},
		{"list", `{"ph":"X","name":"a","ts":3,"args":{"Concrete Inputs":["a "b c","d"],"x":1}}`, `b c`},
		{"path", `{"ph":"X","name":"C:\dir\","ts":3}`, `ts"`},
		{"path in arguments", `{"ph":"X","name":"a","ts":3,"args":{"path":"C:\new\","x":1}}`, `x"`},
		{"key", `{"ph":"X","na"me":"a","ts":3}`, `me"`},
	} {
		for _, behind := range []int{1, 20000} { // in the block, and to behind it
			t.Run(fmt.Sprintf("%s/%d", test.name, behind), func(t *testing.T) {
				var b strings.Builder
				b.WriteString(`{"host_name":"here","traceEvents":[`)
				for i := range 3 {
					fmt.Fprintf(&b, good+",\n", i)
				}
				start := int64(b.Len())
				b.WriteString(test.event)
				for i := range behind {
					fmt.Fprintf(&b, ",\n"+good, 10+i)
				}
				b.WriteString("]}")
				path := write(t, "x.json", []byte(b.String()))
				events, _, err := readAll(t, path)
				var e *Error
				if !errors.As(err, &e) || !errors.Is(err, ErrFormat) || !strings.Contains(e.Detail, unescapedDetail) || len(events) != 3 {
					t.Fatalf("%d events, %v", len(events), err)
				}
				if want := start + int64(strings.Index(test.event, test.at)) - 1; e.Offset != want {
					t.Errorf("at %d, want %d: %s", e.Offset, want, b.String()[e.Offset:e.Offset+20])
				}
				s, err := Scan(t.Context(), path)
				if !errors.Is(err, ErrFormat) || s == nil || s.Events != 3 || s.Host != "here" || s.Last != 2000+1000 {
					t.Errorf("scan: %+v, %v", s, err)
				}
				if err := Complete(t.Context(), path); err != nil && !errors.Is(err, ErrFormat) {
					t.Errorf("complete: %v", err)
				}
			})
		}
	}
}

// TestUnescapedTopLevel: so do the texts beside the events.
func TestUnescapedTopLevel(t *testing.T) {
	for _, text := range []string{
		`{"traceName":"say "hi"","traceEvents":[]}`,
		`{"distributedInfo":{"backend":"say "hi","rank":1},"traceEvents":[]}`,
	} {
		_, _, err := readAll(t, write(t, "x.json", []byte(text)))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), unescapedDetail) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestUnescapedIsNot: errors of other kinds keep their names.
func TestUnescapedIsNot(t *testing.T) {
	for _, text := range []string{
		`[{"name":"a"`, `[{"name":"a","args":{"b":"c`, `[{"name":"a","b`, `[{"name":"a",`, `[{"name":"a",3:1}`[:13], `[{"ts":"soon"}]`,
		`[{"args":{]}}]`, `[{"name":"a","args":[` + strings.Repeat(`["x",`, 300) + `]}]`, `{"a":"b" `, `{"a":["b"`,
	} {
		if _, _, err := readAll(t, write(t, "x.json", []byte(text))); err == nil || strings.Contains(err.Error(), unescapedDetail) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}
