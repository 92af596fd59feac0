package spec

import "github.com/zclconf/go-cty/cty"

// Catalog tells the language what the blocks of each engine may hold: it is
// keyed by the first label of a target block. The engines' own packages say
// what is in it; spec itself knows no engine.
type Catalog map[string]TargetSchema

// TargetSchema describes the target blocks of one engine.
type TargetSchema struct {
	Doc string
	// NeedsEndpoint is false where the run starts the server by itself and picks its address.
	NeedsEndpoint bool
	// Launchable is true where a launch block is allowed.
	Launchable bool
	// Gate is true where the engine's servers can load profjob's plugin.
	Gate bool
	// Attributes are the engine's own, beside those that every target has.
	Attributes []Attribute
}

// Attribute is one attribute of a block.
type Attribute struct {
	Name string
	Type cty.Type
	// Default is used where the attribute is not written; cty.NilVal: it is then absent.
	Default cty.Value
	// OneOf lists the strings that are allowed; empty: any.
	OneOf []string
	Doc   string
}
