package embedded

import (
	"slices"
	"time"

	"profjob/internal/embedded/gate"
	"profjob/internal/embedded/model"
)

// request is one sequence to generate. Everything below the line belongs to the
// engine's goroutine.
type request struct {
	index     int // of the choice in its answer
	prompt    []int32
	maxTokens int
	minTokens int
	ignoreEOS bool
	events    chan<- event // has room for all of the request's events
	arrived   time.Time

	sequence  model.Sequence
	blocks    int // reserved in the KV cache
	generated int
	last      int32 // the last token, to be computed by the next pass
	spoke     time.Time
}

// event is one token of a request, or its end, or both.
type event struct {
	index  int
	token  int32
	finish string // "stop", "length", "abort"; empty before the end
	err    error  // the request failed; nothing follows
}

// work is a request's part in a pass.
type work struct {
	*request
	tokens []int32
	sample bool
	fresh  bool // the request was never scheduled before
}

// prefilling says that the pass reads the prompt: vLLM counts a request as
// context until it has an output token.
func (w work) prefilling() bool { return w.generated == 0 }

// scheduler decides what a pass computes, as vLLM's does: running requests
// first, then waiting ones, first come first served, prompts in chunks where
// the token budget cuts them.
type scheduler struct {
	maxSeqs, maxTokens int
	freeBlocks         int
	waiting, running   []*request
	// finished says that requests ended since the last pass. It makes one more
	// pass, an idle one where no request is left, as in vLLM, whose workers
	// learn from it which requests ended.
	finished bool
}

func (s *scheduler) add(r *request) { s.waiting = append(s.waiting, r) }

// ready says whether there is a pass to run.
func (s *scheduler) ready() bool { return len(s.running) > 0 || len(s.waiting) > 0 || s.finished }

// next gives the work of the next pass; none makes it an idle one.
func (s *scheduler) next() []work {
	s.finished = false
	budget := s.maxTokens
	var batch []work
	for _, r := range s.running {
		if w, ok := r.part(budget); ok {
			batch = append(batch, w)
			budget -= len(w.tokens)
		}
	}
	for len(s.waiting) > 0 && len(s.running) < s.maxSeqs {
		r := s.waiting[0]
		blocks := model.BlocksFor(len(r.prompt) + r.maxTokens)
		w, ok := r.part(budget)
		if !ok || blocks > s.freeBlocks {
			break
		}
		s.waiting = s.waiting[1:]
		s.running = append(s.running, r)
		r.blocks = blocks
		s.freeBlocks -= blocks
		w.fresh = true
		batch = append(batch, w)
		budget -= len(w.tokens)
	}
	return batch
}

// part gives what of a request fits into a budget of tokens.
func (r *request) part(budget int) (work, bool) {
	left := []int32{r.last}
	if computed := r.sequence.Len(); computed < len(r.prompt) {
		left = r.prompt[computed:]
	}
	n := min(len(left), budget)
	if n == 0 {
		return work{}, false
	}
	return work{request: r, tokens: left[:n], sample: n == len(left)}, true
}

// remove takes an ended request out, running or waiting, and says whether it
// was there.
func (s *scheduler) remove(r *request) bool {
	if i := slices.Index(s.running, r); i >= 0 {
		s.running = slices.Delete(s.running, i, i+1)
		s.freeBlocks += r.blocks
		s.finished = true
		return true
	}
	if i := slices.Index(s.waiting, r); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		s.finished = true
		return true
	}
	return false
}

// passOf says what a batch is made of.
func passOf(batch []work) gate.Pass {
	var p gate.Pass
	for _, w := range batch {
		if w.fresh {
			p.New++
		}
		if w.prefilling() {
			p.ContextRequests++
			p.ContextTokens += len(w.tokens)
		} else {
			p.GenerationRequests++
			p.GenerationTokens += len(w.tokens)
		}
	}
	return p
}
