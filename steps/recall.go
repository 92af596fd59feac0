package steps

import (
	"encoding/json"
	"path/filepath"
	"slices"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/internal/hostfs"
)

// noteCollected journals what is collected before anything of it is removed at the
// server: should the run be cut off in between, whoever finishes it knows what it has.
func (r *Run) noteCollected(files []archive.File) error {
	raw, err := json.Marshal(CollectResult{Files: files})
	if err != nil {
		return err
	}
	return r.Emit(event.StepNoted{Place: r.Place, StepKind: (&Collect{}).Kind(), Result: raw})
}

// recall takes up what was collected before the run was cut off and is not at the
// server any more, where it is as it was.
func (g *gathering) recall(listed []hostfs.File) {
	earlier, _ := InAttempt[CollectResult](g.run.State, g.run.Place)
	for _, f := range earlier.Files {
		there := slices.ContainsFunc(listed, func(l hostfs.File) bool { return l.Path == f.OriginalName })
		if f.Target != g.target.Name || f.OriginalName == "" || there {
			continue
		}
		sum, err := archive.HashFile(g.run.Dir.Join(filepath.FromSlash(f.Path)))
		if err == nil && sum.SHA256 == f.SHA256 {
			g.have[f.OriginalName] = copied{file: f}
		}
	}
}
