package kinds

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"profjob/internal/engine"
)

func TestAll(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range All() {
		if seen[k.Name] || k.Name == "" || k.Doc == "" || k.New == nil || k.Setup == nil {
			t.Errorf("kind %+v", k)
		}
		seen[k.Name] = true
		options := map[string]bool{}
		for _, o := range k.Options {
			if options[o.Name] || o.Doc == "" || o.Type == cty.NilType {
				t.Errorf("%s: option %+v", k.Name, o)
			}
			options[o.Name] = true
			if o.Default != cty.NilVal && !o.Default.Type().Equals(o.Type) {
				t.Errorf("%s.%s: the default is a %s", k.Name, o.Name, o.Default.Type().FriendlyName())
			}
		}
		found, ok := Find(k.Name)
		if !ok || found.Name != k.Name {
			t.Errorf("Find(%q) gives %q, %t", k.Name, found.Name, ok)
		}
		if c, err := k.New(engine.Config{Endpoint: "http://127.0.0.1:1/"}); err != nil || c.Endpoint() != "http://127.0.0.1:1" {
			t.Errorf("%s: a client of %v, %v", k.Name, c, err)
		}
		if _, err := k.New(engine.Config{}); err == nil {
			t.Errorf("%s: a client without an endpoint", k.Name)
		}
	}
	if _, ok := Find("no such kind"); ok {
		t.Error("found a kind that is not there")
	}
}
