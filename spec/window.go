package spec

import "time"

// WindowKind says which of a Window's three forms was written.
type WindowKind string

// The forms of a window.
const (
	WindowSteps  WindowKind = "steps"
	WindowTokens WindowKind = "tokens"
	WindowManual WindowKind = "manual"
)

// Window is what is to be recorded. Exactly one of Steps, Tokens and Manual is set, as Kind says.
type Window struct {
	Kind     WindowKind
	Steps    *StepsWindow
	Tokens   *TokensWindow
	Manual   *ManualWindow
	Timeout  time.Duration // default 5m
	Attempts int           // tries of a round whose window was missed; default 3
	Evidence string        // weakest evidence that will do: "annotation", "scope", "structure" or empty for any
}

// StepsWindow asks for Count consecutive engine steps after Delay others.
type StepsWindow struct{ Count, Delay int }

// TokensWindow asks for Steps engine steps from the first that schedules at least Threshold tokens.
type TokensWindow struct {
	Threshold    int    // default 1
	Steps        int    // default 5
	Phase        string // "any" (default), "decode", "prefill", "mixed"
	AtMost       int    // most tokens of the first step, 0: no bound
	SkipRequests int    // requests to let pass first
	All          bool   // every step of the window must qualify, not only the first
}

// ManualWindow asks for a duration, or for a window that ends when it is told to.
type ManualWindow struct {
	Duration time.Duration // 0 if Until is set
	Until    string        // "stopped" or empty
}

// maxSteps bounds the engine steps of a window: a trace of so many can no longer be opened.
const maxSteps = 100_000

var windowSchema = &Block{
	Name:       "window",
	Required:   true,
	ExactlyOne: []string{"steps", "tokens", "manual"},
	Doc:        "what is to be recorded.",
	Arguments: []Argument{
		{Name: "timeout", Type: TypeDuration, Default: "5m", Min: oneMillisecond, Max: oneDay, Doc: "How long to wait for the window to come and to end. No window outlives it."},
		{Name: "attempts", Type: TypeInteger, Default: "3", Min: 1, Max: 100, Doc: "How often a round is tried whose window was missed."},
		{Name: "evidence", Type: TypeString, OneOf: []string{"annotation", "scope", "structure"}, Doc: "The weakest evidence that will do as proof of the window. Without it, any."},
	},
	Blocks: []*Block{
		{
			Name: "steps",
			Doc:  "A number of consecutive engine steps.",
			Arguments: []Argument{
				{Name: "count", Type: TypeInteger, Required: true, Min: 1, Max: maxSteps, Doc: "Engine steps to record."},
				{Name: "delay", Type: TypeInteger, Default: "0", Max: 1e9, Doc: "Engine steps to let pass first."},
			},
		},
		{
			Name: "tokens",
			Doc:  "A number of engine steps from the first that schedules enough tokens.",
			Arguments: []Argument{
				{Name: "threshold", Type: TypeInteger, Default: "1", Min: 1, Max: 1e9, Doc: "The fewest tokens of the first step."},
				{Name: "steps", Type: TypeInteger, Default: "5", Min: 1, Max: maxSteps, Doc: "Engine steps to record."},
				{Name: "phase", Type: TypeString, Default: "any", OneOf: []string{"any", "decode", "prefill", "mixed"}, Doc: "What the first step must do."},
				{Name: "at_most", Type: TypeInteger, Min: 1, Max: 1e9, Doc: "The most tokens of the first step. Without it, any number."},
				{Name: "skip_requests", Type: TypeInteger, Default: "0", Max: 1e9, Doc: "Requests to let pass first."},
				{Name: "all", Type: TypeBool, Default: "false", Doc: "Whether every step of the window must be like the first."},
			},
		},
		{
			Name:       "manual",
			ExactlyOne: []string{"duration", "until"},
			Doc:        "A duration, or until told to stop.",
			Arguments: []Argument{
				{Name: "duration", Type: TypeDuration, Min: oneMillisecond, Max: oneDay, Doc: "How long to record."},
				{Name: "until", Type: TypeString, OneOf: []string{"stopped"}, Doc: "`stopped`: record until `profjob stop`, Enter or an interrupt."},
			},
		},
	},
}

func decodeWindow(job *body) Window {
	b := job.child("window")
	w := Window{
		Timeout:  b.duration("timeout"),
		Attempts: b.integer("attempts"),
		Evidence: b.str("evidence"),
	}
	if b.block("steps") != nil {
		w.Kind, w.Steps = WindowSteps, decodeSteps(b.child("steps"))
	}
	if b.block("tokens") != nil {
		w.Kind, w.Tokens = WindowTokens, decodeTokens(b.child("tokens"))
	}
	if b.block("manual") != nil {
		w.Kind, w.Manual = WindowManual, decodeManual(b.child("manual"), w.Timeout)
	}
	return w
}

func decodeSteps(b *body) *StepsWindow {
	return &StepsWindow{Count: b.integer("count"), Delay: b.integer("delay")}
}

func decodeTokens(b *body) *TokensWindow {
	w := &TokensWindow{
		Threshold:    b.integer("threshold"),
		Steps:        b.integer("steps"),
		Phase:        b.str("phase"),
		AtMost:       b.integer("at_most"),
		SkipRequests: b.integer("skip_requests"),
		All:          b.boolean("all"),
	}
	if w.AtMost > 0 && w.AtMost < w.Threshold {
		b.fail(b.given["at_most"], "", "Out of range", "at_most (%d) must not be less than threshold (%d).", w.AtMost, w.Threshold)
	}
	return w
}

func decodeManual(b *body, timeout time.Duration) *ManualWindow {
	w := &ManualWindow{Duration: b.duration("duration"), Until: b.str("until")}
	if timeout > 0 {
		b.checkBelow("duration", w.Duration, "the window's timeout", timeout)
	}
	return w
}
