// Package steps has the plan steps: one file each, with its parameters as they
// stand in the plan, what it does and what it undoes. The runner decides when;
// a plan step decides nothing about retries, attempts or other plan steps.
package steps

import "context"

// Step is one action of a plan. Its exported fields are its parameters, which
// are the plan's JSON; they are not changed after Compile.
type Step interface {
	// ID is unique in the plan.
	ID() string

	// Kind names what the plan step does, in one word: it is its row in the table of kinds.
	Kind() string

	// Do acts once: it never tries again by itself. The result is a serialisable
	// value of a type that no other plan step gives; it is journaled before the
	// next plan step begins, and later plan steps read it from Run.State. An error
	// that a new try of the same plan step cannot mend is marked with
	// backoff.Permanent; a *Failure in its chain tells how the run ends. ctx ends
	// when the user interrupts the run.
	Do(ctx context.Context, run *Run) (any, error)

	// Undo cleans up what Do left on a server or a machine. It runs at the end of
	// the plan step's scope, also after success, and in reverse order; also where
	// Do failed half-way or never began. It is idempotent. Its context is not
	// ended by an interrupt; it has a timeout.
	Undo(ctx context.Context, run *Run) error
}

// Keeper is a plan step that keeps what earlier ones of its attempt have recorded.
// It also comes after a failure, where there is something to keep, and only the
// second interrupt ends it.
type Keeper interface {
	Step

	// Keeps tells whether the current attempt has left something to keep.
	Keeps(run *Run) bool
}

// Summarizer is a result that can tell people what it holds, in one line.
type Summarizer interface{ Summary() string }

// Header has what every plan step has. Round is 0 outside the rounds.
type Header struct {
	Name  string `json:"-"`
	Round int    `json:"-"`
}

// ID is the name given by the compiler, unique in the plan.
func (h Header) ID() string { return h.Name }

// SetHeader is for whoever reads a plan back from JSON.
func (h *Header) SetHeader(id string, round int) { h.Name, h.Round = id, round }

// noUndo is embedded by plan steps that leave nothing behind.
type noUndo struct{}

// Undo does nothing: the plan step leaves nothing behind.
func (noUndo) Undo(context.Context, *Run) error { return nil }
