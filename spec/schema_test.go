package spec

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// TestSchema checks what decoders take for granted: that defaults can be read
// and are values that could be written, and that names are there once.
func TestSchema(t *testing.T) {
	var visit func(b *Block, path string)
	visit = func(b *Block, path string) {
		path += "/" + b.Name
		if b.Doc == "" {
			t.Errorf("%s has no doc", path)
		}
		seen := map[string]bool{}
		for _, a := range b.Arguments {
			if seen[a.Name] || b.block(a.Name) != nil {
				t.Errorf("%s: %s is there twice", path, a.Name)
			}
			seen[a.Name] = true
			checkArgument(t, path+"/"+a.Name, a)
		}
		for _, name := range b.ExactlyOne {
			if b.argument(name) == nil && b.block(name) == nil {
				t.Errorf("%s: one of %s, which there is not", path, name)
			}
		}
		for _, c := range b.Blocks {
			visit(c, path)
		}
	}
	visit(Schema(), "")
}

func checkArgument(t *testing.T, path string, a Argument) {
	t.Helper()
	if a.Doc == "" {
		t.Errorf("%s has no doc", path)
	}
	if a.Default == "" {
		return
	}
	if a.Required {
		t.Errorf("%s is required and has a default", path)
	}
	if len(a.OneOf) > 0 && !slices.Contains(a.OneOf, a.Default) {
		t.Errorf("%s: the default is not allowed", path)
	}
	n, err := 0.0, error(nil)
	switch a.Type {
	case TypeInteger, TypeNumber, TypeTokens:
		n, err = strconv.ParseFloat(a.Default, 64)
	case TypeDuration:
		var d time.Duration
		d, err = time.ParseDuration(a.Default)
		n = float64(d)
	case TypeSize:
		_, err = parseSize(a.Default)
	case TypeBool:
		_, err = strconv.ParseBool(a.Default)
	}
	if err != nil || n < a.Min || a.Max != 0 && n > a.Max {
		t.Errorf("%s: the default %s is no value of the attribute (%v)", path, a.Default, err)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0B": 0, "1B": 1, "1kB": 1000, "1KB": 1000, "1KiB": 1024, "1.5 MiB": 3 << 19,
		"10GiB": 10 << 30, "500MB": 500e6, "2tb": 2e12, "1.9B": 1, "8191PiB": 8191 << 50,
		"": -1, "10": -1, "GiB": -1, "-1GB": -1, "10 G": -1, "1e3B": -1, "8192PiB": -1, "10GiB ": -1, "1..5GB": -1,
		"1111111111111111111111111111111111111111111111111111111111111111111111GB": -1,
	} {
		got, err := parseSize(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1KiB", 4 << 20: "4MiB", 3 << 29: "1.5GiB", 10 << 50: "10PiB"} {
		if got := formatSize(bytes); got != want {
			t.Errorf("formatSize(%d) = %s, want %s", bytes, got, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{"0s": 0, "5m": 5 * time.Minute, "1h": time.Hour, "1h5m": 65 * time.Minute, "1h0m1s": time.Hour + time.Second, "1m30s": 90 * time.Second, "500ms": 500 * time.Millisecond, "10m": 10 * time.Minute, "20s": 20 * time.Second} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestEngineDefaults(t *testing.T) {
	for _, tc := range []struct {
		value cty.Value
		want  string
	}{
		{cty.NilVal, ""},
		{cty.NullVal(cty.String), ""},
		{cty.StringVal("a"), "a"},
		{cty.True, "true"},
		{cty.False, "false"},
		{cty.NumberIntVal(5), "5"},
		{cty.ListValEmpty(cty.String), "cty.ListValEmpty(cty.String)"},
	} {
		if got := engineDefault(tc.value); got != tc.want {
			t.Errorf("engineDefault(%#v) = %q, want %q", tc.value, got, tc.want)
		}
	}
	if got := engineTypeName(cty.NilType); got != "any" {
		t.Errorf("got %s", got)
	}
}
