package spec

// Gate is the block of that name in a target: the server has profjob's plugin,
// which sees every engine step, or gets it where the run launches the server.
type Gate struct {
	// Enabled is false where the gate shall not be used, though it is there.
	Enabled bool
	// Secret is what the server's environment was given for the gate; empty where
	// the run launches the server and makes one up.
	Secret Secret
}

var gateSchema = &Block{
	Name: "gate",
	Doc: "Profiling through the plugin that sees every engine step: `profjob gate install` writes it, `profjob gate env` prints " +
		"what to set on the server. A server that the run launches gets it by itself where the window is one by tokens, and for any window where this block is written.",
	Arguments: []Argument{
		{Name: "secret", Type: TypeString, Sensitive: true, Doc: "What the server's environment has as PROFJOB_GATE_SECRET. Required unless the run launches the server."},
		{Name: "enabled", Type: TypeBool, Default: "true", Doc: "`false`: leave the gate alone, and take the server's own profiler."},
	},
}

func decodeGate(target *body, engine TargetSchema, t *Target) *Gate {
	block := target.block("gate")
	if block == nil {
		target.needGate(t)
		return nil
	}
	if !engine.Gate {
		target.report.errorAt(block.DefRange(), "No gate", "A server of the engine %q cannot load the gate: leave this block out.", t.Engine)
		return nil
	}
	b := target.child("gate")
	g := &Gate{Enabled: b.boolean("enabled"), Secret: b.token("gate", "secret", t)}
	launched := t.Launch != nil || !engine.NeedsEndpoint && len(t.Endpoints) == 0
	switch {
	case !g.Enabled:
		target.needGate(t)
	case !launched && !b.has("secret") && !b.meant["secret"]:
		b.report.errorAt(block.DefRange(), "Missing attribute", "The gate of a server that runs already needs its secret: what the server's environment has as PROFJOB_GATE_SECRET.")
	}
	return g
}

// needGate refuses files that only the gate can reach where there is none.
func (b *body) needGate(t *Target) {
	if t.Files.From != FilesFromGate {
		return
	}
	at := b.header
	if block := b.block("files"); block != nil {
		at = block.DefRange()
	}
	b.report.errorAt(at, "No gate", "Files come from the gate only where the target has one: write a block gate { secret = … } beside this one.")
}
