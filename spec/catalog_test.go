package spec

import "github.com/zclconf/go-cty/cty"

// testCatalog stands for the engines.
var testCatalog = Catalog{
	"vllm": {
		Doc:           "A vLLM server.",
		NeedsEndpoint: true,
		Launchable:    true,
		Gate:          true,
		Attributes: []Attribute{
			{Name: "api_prefix", Type: cty.String, Doc: "A prefix."},
			{Name: "dialect", Type: cty.String, Default: cty.StringVal("auto"), OneOf: []string{"auto", "env", "flags"}, Doc: "How it is configured."},
			{Name: "ranks", Type: cty.Number, Doc: "Ranks of the server."},
			{Name: "labels", Type: cty.Map(cty.String), Doc: "Labels."},
		},
	},
	"embedded": {Doc: "The embedded engine."},
}
