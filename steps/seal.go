package steps

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/cenkalti/backoff/v4"

	"profjob/internal/archive"
)

// Seal closes the journal, writes the manifest with the hash of every file, and
// gives the run's directory its final name.
type Seal struct {
	Header
	noUndo
	Record Record `json:"record"`
	// Mode is that of the files of the sealed run in octal digits; empty: 0600.
	Mode string `json:"mode,omitempty"`
}

// SealResult has the manifest that was written.
type SealResult struct {
	Manifest *archive.Manifest `json:"-"`
	Files    int               `json:"files"`
}

// Summary tells where the run is.
func (r SealResult) Summary() string {
	if r.Manifest == nil { // a journal does not have it
		return fmt.Sprintf("%d files", r.Files)
	}
	return fmt.Sprintf("%d files in %s", r.Files, r.Manifest.Dir)
}

// Kind is the row in the table of kinds.
func (s *Seal) Kind() string { return "seal" }

// FileMode is Mode as a number, 0 where it is empty.
func (s *Seal) FileMode() (fs.FileMode, error) {
	if s.Mode == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s.Mode, 8, 9)
	if err != nil {
		return 0, fmt.Errorf("seal: mode %q: %w", s.Mode, err)
	}
	return fs.FileMode(n), nil
}

// Do seals the run.
func (s *Seal) Do(ctx context.Context, run *Run) (any, error) {
	m := s.manifest(run)
	if err := run.CloseJournal(); err != nil {
		return nil, backoff.Permanent(incomplete("close journal: %w", err))
	}
	if err := archive.Seal(ctx, run.Dir, m, collected(run)); err != nil {
		return nil, backoff.Permanent(incomplete("%w", err))
	}
	return SealResult{Manifest: m, Files: len(m.Files)}, nil
}

func (s *Seal) manifest(run *Run) *archive.Manifest {
	m := &archive.Manifest{
		FormatVersion: archive.ManifestVersion,
		RunID:         run.Dir.RunID,
		Job:           run.Job,
		Status:        run.Outcome.Status,
		StartedAt:     run.StartedAt.UTC(),
		FinishedAt:    run.Clock.Now().UTC(),
		PlanDigest:    run.PlanDigest,
		Profjob:       archive.Tool{Version: run.Version},
		Host:          run.Host,
		Targets:       targets(run),
		Rounds:        rounds(run),
		Record:        record(run, s.Record),
		Fingerprint:   fingerprints(run),
		Warnings:      orEmpty(run.Warnings()),
		Errors:        orEmpty(run.Outcome.Errors),
	}
	return m
}

// targets tells what the probe found; a run that never got so far has none.
func targets(run *Run) []archive.Target {
	probed, _ := Latest[ProbeResult](run.State)
	all := []archive.Target{}
	for _, e := range probed.Endpoints {
		i := slices.IndexFunc(all, func(t archive.Target) bool { return t.Name == e.Target })
		if i < 0 {
			all = append(all, archive.Target{Name: e.Target, Engine: e.Info.Engine, Version: e.Info.Version})
			i = len(all) - 1
		}
		all[i].Endpoints = append(all[i].Endpoints, e.Endpoint)
	}
	return all
}

func fingerprints(run *Run) map[string]map[string]string {
	all := map[string]map[string]string{}
	probed, _ := Latest[ProbeResult](run.State)
	for _, e := range probed.Endpoints {
		if len(e.Info.Fingerprint) > 0 && all[e.Target] == nil {
			all[e.Target] = e.Info.Fingerprint
		}
	}
	return all
}

// rounds puts attempts and windows together; the windows are those of the last
// attempt that has any.
func rounds(run *Run) []archive.Round {
	all := []archive.Round{}
	at := func(number int) *archive.Round {
		for i := range all {
			if all[i].Number == number {
				return &all[i]
			}
		}
		all = append(all, archive.Round{Number: number, Attempts: []archive.Attempt{}, Windows: []archive.Window{}})
		return &all[len(all)-1]
	}
	for _, a := range run.Outcome.Attempts {
		r := at(a.Round)
		r.Attempts = append(r.Attempts, archive.Attempt{Number: a.Number, Error: a.Error})
	}
	for _, v := range All[VerifyResult](run.State) {
		if len(v.Value.Windows) == 0 {
			continue
		}
		r := at(v.Place.Round)
		r.Windows, r.SkewNS = v.Value.Windows, v.Value.SkewNS
	}
	return all
}

// record sets what was asked against what the traces show; with several rounds,
// an option counts as seen if every trace shows it.
func record(run *Run, asked Record) archive.Record {
	r := archive.Record{Asked: manifestOptions(asked), Extra: []string{}}
	for _, v := range All[VerifyResult](run.State) {
		if v.Value.Seen == nil {
			continue
		}
		seen := *v.Value.Seen
		if r.Seen != nil {
			seen = archive.Options{Shapes: seen.Shapes && r.Seen.Shapes, Memory: seen.Memory && r.Seen.Memory,
				Stack: seen.Stack && r.Seen.Stack, FLOPs: seen.FLOPs && r.Seen.FLOPs}
		}
		r.Seen = &seen
		for _, extra := range v.Value.Extra {
			if !slices.Contains(r.Extra, extra) {
				r.Extra = append(r.Extra, extra)
			}
		}
	}
	return r
}

// collected has every file that a plan step described: verify knows more of a
// file than collect does, so what it says counts.
func collected(run *Run) []archive.File {
	byPath := map[string]archive.File{}
	var order []string
	add := func(files []archive.File) {
		for _, f := range files {
			if _, ok := byPath[f.Path]; !ok {
				order = append(order, f.Path)
			}
			byPath[f.Path] = f
		}
	}
	for _, c := range All[CollectResult](run.State) {
		add(c.Value.Files)
	}
	for _, v := range All[VerifyResult](run.State) {
		add(v.Value.Files)
		for _, gone := range v.Value.Removed {
			delete(byPath, gone)
		}
	}
	var all []archive.File
	for _, p := range order {
		if f, ok := byPath[p]; ok {
			all = append(all, f)
		}
	}
	return all
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
