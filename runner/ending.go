package runner

import (
	"slices"

	"profjob/internal/archive"
	"profjob/steps"
)

// worstFirst is the order in which several failures decide how a run ends.
var worstFirst = []int{steps.ExitInterrupted, steps.ExitFailed, steps.ExitServer, steps.ExitIncomplete, steps.ExitWindow}

// worst gives the failure that decides how a run ends because of an error; nil
// for none. An error that says nothing about that counts as ExitFailed.
func worst(err error) *steps.Failure {
	if err == nil {
		return nil
	}
	all := failures(err)
	if len(all) == 0 {
		return &steps.Failure{Status: archive.StatusFailed, Exit: steps.ExitFailed, Err: err}
	}
	return slices.MinFunc(all, func(a, b *steps.Failure) int { return rank(a) - rank(b) })
}

func rank(f *steps.Failure) int {
	i := slices.Index(worstFirst, f.Exit)
	if i < 0 {
		return len(worstFirst)
	}
	return i
}

// isFinal tells whether another attempt cannot mend an error.
func isFinal(err error) bool {
	return slices.ContainsFunc(failures(err), func(f *steps.Failure) bool { return f.Final })
}

// failures gives every failure in an error's tree; what a failure wraps is its own business.
func failures(err error) []*steps.Failure {
	if f, ok := err.(*steps.Failure); ok {
		return []*steps.Failure{f}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return failures(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []*steps.Failure
		for _, inner := range e.Unwrap() {
			all = append(all, failures(inner)...)
		}
		return all
	}
	return nil
}
