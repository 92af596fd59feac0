package steps

import (
	"fmt"
	"runtime/debug"

	"profjob/internal/archive"
)

// Failure is an error that tells how the run ends because of it.
type Failure struct {
	Status archive.Status
	Exit   int  // of the process, as documented in docs/commands.md
	Final  bool // another attempt of the round cannot mend it
	Err    error
}

// Error is the error's own text.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the error inside.
func (f *Failure) Unwrap() error { return f.Err }

// The exit codes of a run, by what happened.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitServer      = 4
	ExitWindow      = 5
	ExitIncomplete  = 6
	ExitInterrupted = 130
)

// serverFailure: the server cannot be reached, cannot profile, or died.
func serverFailure(format string, args ...any) error {
	return &Failure{Status: archive.StatusFailed, Exit: ExitServer, Err: fmt.Errorf(format, args...)}
}

// finalServerFailure is one that no other attempt of the round can mend.
func finalServerFailure(format string, args ...any) error {
	return &Failure{Status: archive.StatusFailed, Exit: ExitServer, Final: true, Err: fmt.Errorf(format, args...)}
}

// windowNotMet: the window that was asked for was not got; another attempt may get it.
func windowNotMet(format string, args ...any) error {
	return &Failure{Status: archive.StatusWindowNotMet, Exit: ExitWindow, Err: fmt.Errorf(format, args...)}
}

// incomplete: something that was recorded cannot be had or kept.
func incomplete(format string, args ...any) error {
	return &Failure{Status: archive.StatusIncomplete, Exit: ExitIncomplete, Err: fmt.Errorf(format, args...)}
}

// finalIncomplete is one that no other attempt of the round can mend.
func finalIncomplete(format string, args ...any) error {
	return &Failure{Status: archive.StatusIncomplete, Exit: ExitIncomplete, Final: true, Err: fmt.Errorf(format, args...)}
}

// Defect is the error of a panic. It is called by the deferred function that
// recovered it, so that the stack tells where it came from.
func Defect(where string, panicked any) error {
	return &Failure{Status: archive.StatusFailed, Exit: ExitFailed, Final: true,
		Err: fmt.Errorf("%s: this is a defect of profjob: panic: %v\n%s", where, panicked, debug.Stack())}
}

// safely turns a panic into an error: what a plan step does at several servers at
// once is in goroutines, whose panic would end the process with the profilers on.
func safely(where string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Defect(where, p)
		}
	}()
	return f()
}

// ErrInterrupted ends a plan step that an interrupt cut short.
var ErrInterrupted = &Failure{Status: archive.StatusInterrupted, Exit: ExitInterrupted, Final: true,
	Err: fmt.Errorf("interrupted")}
