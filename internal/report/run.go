package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"profjob/internal/archive"
	"profjob/internal/load"
	"profjob/internal/regular"
)

// Run is what the page tells of a run beside its traces.
type Run struct {
	Job, ID    string
	Status     archive.Status // empty: not ended
	StartedAt  time.Time
	FinishedAt time.Time // zero: not ended
	Host       string    // where profjob ran
	Tool       string    // version of profjob
	Targets    []archive.Target
	Rounds     []archive.Round // windows asked and got, attempts
	Record     archive.Record  // options
	Loads      []Load
	Warnings   []string
	Errors     []string
}

// Load is the load of one attempt.
type Load struct {
	Round, Attempt int
	Summary        load.Summary
}

// RunOf makes the Run of a manifest. Loads are added by [ReadLoads].
func RunOf(m *archive.Manifest) *Run {
	return &Run{Job: m.Job, ID: m.RunID, Status: m.Status, StartedAt: m.StartedAt, FinishedAt: m.FinishedAt,
		Host: m.Host, Tool: m.Profjob.Version, Targets: m.Targets, Rounds: m.Rounds, Record: m.Record,
		Warnings: m.Warnings, Errors: m.Errors}
}

// maxLoadBytes bounds a load.json, which has some numbers and ten errors.
const maxLoadBytes = 1 << 20

// ReadLoads reads the summaries of the loads of a run directory, sealed or not: of each
// attempt the one that it drove. What cannot be read is in the error, which joins them;
// the others are there all the same.
func ReadLoads(dir string) ([]Load, error) {
	paths, err := filepath.Glob(filepath.Join(globQuoted(dir), "rounds", "*", "attempt-*", "load.json"))
	if err != nil {
		return nil, fmt.Errorf("find the loads of %s: %w", dir, err)
	}
	var loads []Load
	var errs []error
	for _, path := range paths {
		l, err := readLoad(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("read the summary of a load: %s: %w", path, err))
			continue
		}
		loads = append(loads, l)
	}
	slices.SortFunc(loads, func(a, b Load) int {
		if a.Round != b.Round {
			return a.Round - b.Round
		}
		return a.Attempt - b.Attempt
	})
	return loads, errors.Join(errs...)
}

func readLoad(path string) (Load, error) {
	var l Load
	attempt := filepath.Dir(path)
	l.Attempt, _ = strconv.Atoi(filepath.Base(attempt)[len("attempt-"):]) // 0: not known
	l.Round, _ = strconv.Atoi(filepath.Base(filepath.Dir(attempt)))
	data, err := regular.Read(path, maxLoadBytes)
	if err != nil {
		return l, err
	}
	return l, json.Unmarshal(data, &l.Summary)
}

// globQuoted keeps the characters of a path from being a pattern.
func globQuoted(path string) string {
	var quoted []rune
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, r)
	}
	return string(quoted)
}
