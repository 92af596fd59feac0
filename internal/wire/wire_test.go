package wire

import (
	"encoding/json"
	"testing"
	"time"
)

func TestArraysAndObjectsAreNeverNull(t *testing.T) {
	type form struct {
		Names  Array[string]        `json:"names"`
		Nested Array[Array[int]]    `json:"nested"`
		Places Object[string]       `json:"places"`
		Deep   Object[Object[bool]] `json:"deep"`
	}
	for _, c := range []struct {
		name string
		in   form
		want string
	}{
		{"nothing", form{}, `{"names":[],"nested":[],"places":{},"deep":{}}`},
		{"nothing within", form{Nested: Array[Array[int]]{nil}, Deep: Object[Object[bool]]{"a": nil}},
			`{"names":[],"nested":[[]],"places":{},"deep":{"a":{}}}`},
		{"something", form{Names: []string{"a"}, Nested: Array[Array[int]]{{1}}, Places: map[string]string{"b": "c"}},
			`{"names":["a"],"nested":[[1]],"places":{"b":"c"},"deep":{}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			var back form
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(back)
			if err != nil {
				t.Fatal(err)
			}
			if string(again) != c.want {
				t.Errorf("after reading it back: got %s, want %s", again, c.want)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{`"0s"`: 0, `"1m30s"`: 90 * time.Second, `"-2ms"`: -2 * time.Millisecond, `"1ns"`: 1} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if time.Duration(d) != want {
			t.Errorf("%s is read as %s, want %s", text, d, want)
		}
		back, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if string(back) != text {
			t.Errorf("%s is written as %s", text, back)
		}
	}
	for _, bad := range []string{`""`, `"3"`, `"soon"`, `3`, `"1h "`} {
		var d Duration
		if err := json.Unmarshal([]byte(bad), &d); err == nil {
			t.Errorf("%s is read as %s, want an error", bad, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	f.Add("1m30s")
	f.Add("-1.5h")
	f.Fuzz(func(t *testing.T, text string) {
		var d, back Duration
		if d.UnmarshalText([]byte(text)) != nil {
			return
		}
		out, err := d.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := back.UnmarshalText(out); err != nil || back != d {
			t.Errorf("%q is %s, written %s, read back %s (%v)", text, d, out, back, err)
		}
	})
}
