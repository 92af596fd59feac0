package gate

import "slices"

// identity is who a worker is.
type identity struct {
	Core      int    `json:"core"`
	Rank      int    `json:"rank"`
	LocalRank int    `json:"local_rank"`
	WorldSize int    `json:"world_size"`
	TPRank    int    `json:"tp_rank"`
	PPRank    int    `json:"pp_rank"`
	Host      string `json:"host"`
	PID       int    `json:"pid"`
	Passes    int64  `json:"passes"`
	Version   string `json:"version"`
}

// setting is what a worker says of itself.
type setting struct {
	identity
	Torch               string   `json:"torch"`
	Profiler            string   `json:"profiler"`
	Activities          []string `json:"activities"`
	MaxNumBatchedTokens int      `json:"max_num_batched_tokens"`
	MaxNumSeqs          int      `json:"max_num_seqs"`
	Hooks               []string `json:"hooks"`
	Busy                *string  `json:"busy"`
	Root                string   `json:"root"`
}

// progress is how far a worker is with a session.
type progress struct {
	identity
	Session   string  `json:"session"`
	State     string  `json:"state"`
	EndedBy   *string `json:"ended_by"`
	Error     *string `json:"error"`
	Begin     int64   `json:"begin"`
	Counted   int64   `json:"counted"`
	Discarded int     `json:"discarded"`
	Recorded  int     `json:"recorded"`
	Stopping  *string `json:"stopping"`
	Steps     []step  `json:"steps"`
	Files     []file  `json:"files"`
	Cost      cost    `json:"cost"`
}

// trouble is a worker that gave no answer.
type trouble struct {
	Core   int    `json:"core"`
	Status int    `json:"status"`
	State  string `json:"state,omitempty"`
	Error  any    `json:"error"`
}

func (g *Gate) identity() identity {
	return identity{WorldSize: 1, Host: g.config.Host, PID: g.config.Meta.PID, Passes: g.passes, Version: version}
}

func (g *Gate) hello() (setting, *refusal) {
	root, err := openRoot(g.config.Root)
	if err != nil {
		return setting{}, workerError(err)
	}
	s := setting{
		identity: g.identity(), Torch: g.config.Torch, Profiler: "torch", Activities: []string{"cpu"},
		MaxNumBatchedTokens: g.config.MaxNumBatchedTokens, MaxNumSeqs: g.config.MaxNumSeqs,
		Hooks: g.config.Hooks, Root: root,
	}
	if g.session != nil {
		s.Busy = &g.session.request.session
	}
	return s, nil
}

// status tells the steps once the recording is over, and the files once they
// are written.
func (g *Gate) status(s *session) progress {
	p := progress{
		identity: g.identity(), Session: s.request.session, State: s.state, EndedBy: text(s.endedBy), Error: text(s.error),
		Begin: s.begin, Counted: s.counted, Discarded: s.discarded, Recorded: len(s.steps),
		Steps: []step{}, Files: []file{}, Cost: s.cost,
	}
	if s.state == recording {
		p.Stopping = text(s.stopAsked)
	}
	if s.ended() || s.state == writing {
		p.Steps = append(p.Steps, s.steps...)
	}
	if s.ended() {
		p.Files = append(p.Files, s.files...)
	}
	return p
}

// text is null where nothing is said.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// listed finds a file among those that a session has finished.
func (p progress) listed(name string) (file, bool) {
	i := slices.IndexFunc(p.Files, func(f file) bool { return f.Name == name })
	if i < 0 {
		return file{}, false
	}
	return p.Files[i], true
}
