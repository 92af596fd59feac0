package runner

import (
	"fmt"

	"profjob/internal/archive"
	"profjob/steps"
)

// Estimate says about how much a run of the plan will write, by the newest sealed run
// of the same job below an archive's root that tells; nil where none does. It is no
// part of the plan, whose digest does not depend on what was run before.
func (p *Plan) Estimate(root string) (*steps.Estimate, error) {
	asked := p.asked()
	if asked.Window == nil {
		return nil, nil
	}
	m, err := archive.Newest(root, p.Job, asked.Serves)
	if err != nil {
		return nil, fmt.Errorf("estimate what %s will write: %w", p.Job, err)
	}
	return asked.Estimate(m), nil
}

// asked is what of the plan decides how much its run will write.
func (p *Plan) asked() steps.Asked {
	a := steps.Asked{Rounds: p.Rounds}
	for _, s := range p.Steps {
		switch s := s.Step.(type) {
		case *steps.Window:
			a.Window = s
		case *steps.Collect:
			a.Ranks, a.DeleteRemote = s.ExpectRanks, s.DeleteRemote
		case *steps.Verify:
			a.KeepOriginal = s.KeepOriginal
		case *steps.Store:
			a.Packed = s.Format == "tar.zst"
		}
	}
	return a
}

// Limits are those of the job file that an estimate may go past, in bytes.
func (p *Plan) Limits() (minFree, maxTrace int64) {
	w := p.asked().Window
	if w == nil {
		return 0, 0
	}
	return w.MinFreeDisk, w.MaxTraceSize
}
