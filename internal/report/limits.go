package report

// limits is how much of each thing a page shows.
type limits struct {
	traces   int // in full; the others stand in the headline and the links
	headline int // rows
	bars     int // of all timelines together
	steps    int // rows of all tables of steps together
	names    int // rows of all tables of operators and kernels together
	batches  int // rows of each table
	ranks    int // rows of each table
	windows  int // rows
	links    int // rows
	texts    int // of each list of warnings, errors, problems
}

// most is for a page that reads well. The bounds on lists of all traces together keep
// it below MaxBytes with all but the longest names.
var most = limits{traces: 16, headline: 200, bars: 4000, steps: 1600, names: 1000, batches: 60, ranks: 128, windows: 200, links: 300, texts: 50}

// At most this much of one trace.
const (
	maxBars  = 800
	maxSteps = 400
	maxNames = 40 // operators, and as many kernels
)

func (l limits) halved() limits {
	return limits{l.traces / 2, l.headline / 2, l.bars / 2, l.steps / 2, l.names / 2, l.batches / 2, l.ranks / 2, l.windows / 2, l.links / 2, l.texts / 2}
}

func (l limits) none() bool { return l == limits{} }

// each shares a limit out among traces.
func each(all, traces, one int) int { return min(all/max(traces, 1), one) }

// first is the first n of a list, and how many it leaves out.
func first[T any](list []T, n int) (shown []T, leftOut int) {
	n = min(n, len(list))
	return list[:n], len(list) - n
}
