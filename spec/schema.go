package spec

import (
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// Block describes one type of block. The decoders read it to know what a block
// may hold and what holds where nothing is written; [WriteReference] makes the
// documentation of it. Neither can differ from the other.
type Block struct {
	Name string `json:"name,omitempty"`
	// Labels are what stands between the block's type and its brace.
	Labels []string `json:"labels,omitempty"`
	// Many is true where the block may be written more than once.
	Many bool `json:"many,omitempty"`
	// Required is true where the block must be written.
	Required bool `json:"required,omitempty"`
	// Reserved is true for a part of the language that this version knows but cannot do.
	Reserved bool `json:"reserved,omitempty"`
	// ExactlyOne names attributes and blocks of which exactly one must be written.
	ExactlyOne []string   `json:"exactly_one,omitempty"`
	Doc        string     `json:"doc"`
	Arguments  []Argument `json:"arguments,omitempty"`
	Blocks     []*Block   `json:"blocks,omitempty"`
}

// Argument describes one attribute of a block.
type Argument struct {
	Name string       `json:"name"`
	Type ArgumentType `json:"type"`
	// Required is true where the attribute must be written.
	Required bool `json:"required,omitempty"`
	// Default is what holds where the attribute is not written, in the form in
	// which it would be written, strings without quotes; empty: nothing.
	Default string `json:"default,omitempty"`
	// Min and Max bound numbers, durations (in nanoseconds) and sizes; Max 0: no bound.
	Min float64 `json:"min,omitempty"`
	Max float64 `json:"max,omitempty"`
	// OneOf lists the strings that are allowed; empty: any.
	OneOf []string `json:"one_of,omitempty"`
	// Sensitive is true where a sensitive value may be used.
	Sensitive bool `json:"sensitive,omitempty"`
	// Reserved is as in Block.
	Reserved bool   `json:"reserved,omitempty"`
	Doc      string `json:"doc"`

	// engine is set for the attributes that an engine brings.
	engine *Attribute
}

// ArgumentType is what an attribute may be, as it is called in the reference.
type ArgumentType string

// The types of attributes.
const (
	TypeString    ArgumentType = "string"
	TypeBool      ArgumentType = "bool"
	TypeInteger   ArgumentType = "whole number"
	TypeNumber    ArgumentType = "number"
	TypeDuration  ArgumentType = "duration"
	TypeSize      ArgumentType = "size"
	TypeStrings   ArgumentType = "list of strings"
	TypeStringMap ArgumentType = "map of strings"
	TypePath      ArgumentType = "path"
	TypeURL       ArgumentType = "URL"
	TypeURLs      ArgumentType = "list of URLs"
	TypeTokens    ArgumentType = "whole number or { min, max }"
	TypeTargets   ArgumentType = "list of targets"
	TypeLoad      ArgumentType = "load"
	TypeAny       ArgumentType = "any"
	// TypeExpression is an expression that the decoder evaluates by itself.
	TypeExpression ArgumentType = "expression"
)

// Bounds in the units of Argument.Min and Max.
const (
	oneMillisecond = float64(time.Millisecond)
	oneDay         = float64(24 * time.Hour)
)

// fileSchema is the job file as a whole.
var fileSchema = &Block{
	Doc:    "A job file.",
	Blocks: []*Block{profjobSchema, variableSchema, localsSchema, targetSchema, loadSchema, jobSchema},
}

// Schema describes the job file as a whole: its blocks, theirs, and so on. The
// caller must not change it.
func Schema() *Block { return fileSchema }

func (b *Block) argument(name string) *Argument {
	i := slices.IndexFunc(b.Arguments, func(a Argument) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return &b.Arguments[i]
}

// mustArgument is the argument of that name; a decoder that asks for one that
// the schema does not have gets one that nobody can have written.
func (b *Block) mustArgument(name string) *Argument {
	if a := b.argument(name); a != nil {
		return a
	}
	return &Argument{Name: name}
}

func (b *Block) block(name string) *Block {
	i := slices.IndexFunc(b.Blocks, func(c *Block) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return b.Blocks[i]
}

func (b *Block) argumentNames() []string {
	var names []string
	for _, a := range b.Arguments {
		if !a.Reserved {
			names = append(names, a.Name)
		}
	}
	return names
}

func (b *Block) blockNames() []string {
	var names []string
	for _, c := range b.Blocks {
		if !c.Reserved {
			names = append(names, c.Name)
		}
	}
	return names
}

// title is the block as the subject of a sentence.
func (b *Block) title() string {
	switch {
	case b.Name == "":
		return "A job file"
	case strings.ContainsRune("aeiou", rune(b.Name[0])):
		return "An " + b.Name + " block"
	}
	return "A " + b.Name + " block"
}

// withEngine is the schema of a target block of one engine.
func (b *Block) withEngine(engine TargetSchema) *Block {
	merged := *b
	merged.Arguments = slices.Clone(b.Arguments)
	for _, attr := range engine.Attributes {
		if merged.argument(attr.Name) == nil {
			merged.Arguments = append(merged.Arguments, Argument{
				Name:    attr.Name,
				Type:    ArgumentType(engineTypeName(attr.Type)),
				Default: engineDefault(attr.Default),
				OneOf:   attr.OneOf,
				Doc:     attr.Doc,
				engine:  &attr,
			})
		}
	}
	return &merged
}

func engineTypeName(t cty.Type) string {
	if t == cty.NilType {
		return string(TypeAny)
	}
	return t.FriendlyNameForConstraint()
}

// engineDefault is the default of an engine's attribute as it would be written.
func engineDefault(v cty.Value) string {
	if v == cty.NilVal || v.IsNull() {
		return ""
	}
	switch v.Type() {
	case cty.String:
		return v.AsString()
	case cty.Bool:
		if v.True() {
			return "true"
		}
		return "false"
	case cty.Number:
		return formatNumber(v.AsBigFloat())
	}
	return v.GoString()
}
