package steps

import (
	"context"

	"profjob/internal/archive"
	"profjob/internal/engine"
)

// window is the window as engines are told of it, for servers that record by
// themselves.
func (t *TokensParams) window(steps int) *engine.TokenWindow {
	if t == nil {
		return nil
	}
	return &engine.TokenWindow{Threshold: t.Threshold, AtMost: t.AtMost, Phase: t.Phase, Steps: steps, SkipRequests: t.SkipRequests, All: t.All}
}

// ownWindow is what a launch asks the server's own token logic for: with each
// attempt some passes more, since idle ones among them are counted, too.
func (l *Launch) ownWindow(t Target, attempt int) *engine.TokenWindow {
	w := l.Tokens.window(l.Count)
	if w == nil || t.kind().ByItself == nil {
		return nil
	}
	w.Spare = max(attempt-1, 0) * (w.Steps + 4)
	return w
}

// RecordsByItself tells whether servers of the target's kind have a token logic of
// their own, and nothing better is there.
func (t Target) RecordsByItself() bool { return t.Gate == nil && t.kind().ByItself != nil }

// RefuseByItself says of a target, as far as its job file tells what it is, why its
// own token logic cannot give a window, and nothing else can either; nil where
// that is for the server to say. It is pure.
func (t Target) RefuseByItself(tokens *TokensParams, count, rounds int, warmup bool) error {
	if !t.RecordsByItself() || t.Version == "" && t.Options["generation"] == nil {
		return nil
	}
	p := &Probe{Tokens: tokens, Count: count, Rounds: rounds, Warmup: warmup}
	if _, fatal, err := p.byItself(t, engine.Info{Version: t.Version}); fatal {
		return err
	}
	return nil
}

// OwnWindow is the window that a target's servers are to record by their own token
// logic; nil where they have none, or something better is there.
func (p *Probe) OwnWindow(t Target) *engine.TokenWindow {
	if !t.RecordsByItself() {
		return nil
	}
	return p.Tokens.window(p.Count)
}

// byItself says whether a server gives the window by its own token logic. Where
// it does not, err says why; fatal, that nothing else can serve either.
func (p *Probe) byItself(target Target, info engine.Info) (choice Choice, fatal bool, err error) {
	r := engine.SelfRequest{Info: info, Options: target.Options, Launched: target.Launched(), Windows: 1, Warmup: p.Warmup}
	if !r.Launched {
		r.Windows = p.Rounds
	}
	if target.Launch != nil {
		r.Command = target.Launch.Command
	}
	hand, byHand := target.kind().ByItself(r)
	if p.Tokens == nil {
		return Choice{Notes: hand.Notes}, byHand != nil, byHand
	}
	r.Tokens = p.Tokens.window(p.Count)
	self, err := target.kind().ByItself(r)
	if err != nil {
		return Choice{}, r.Launched || byHand != nil, err
	}
	return Choice{Strategy: StrategyBounded, ByItself: self.Started, Notes: self.Notes,
		Why: "the server's own token logic begins and ends the recording; the trace is cut to the engine steps asked for"}, false, nil
}

// remember lists the trace directory of a server that records by itself, before
// anything is sent to it. One that was launched has been looked at before that.
func (p *ProbeResult) remember(ctx context.Context, run *Run, t Target, choice Choice) error {
	if !choice.ByItself {
		return nil
	}
	before := Snapshot{}
	if launched, ok := run.launchedServer(t); ok {
		before = launched.Before
	} else if dir := run.traceDir(t); dir != "" {
		listed, err := run.snapshotOf(ctx, dir)
		if err != nil {
			return err
		}
		before = listed
	}
	if p.Before == nil {
		p.Before = map[string]Snapshot{}
	}
	p.Before[t.Name] = before
	return nil
}

// neverByItself is why a server that should have recorded by itself has not.
const neverByItself = "the server recorded nothing by itself: no engine step was one to begin with, or it has recorded before (once in the life of a process), or its executor is Ray"

// byItself waits until a server that records by itself has written its traces: until
// there are some, and nothing about them has changed for a while.
func (w *endpointWatch) byItself(ctx context.Context) ending {
	before := w.before[w.server.Target.Name]
	var last Snapshot
	changed := w.run.Clock.Now()
	for {
		if now, err := w.run.snapshot(ctx, w.server.Target); err == nil {
			if !sameNew(before, last, now) {
				last, changed = now, w.run.Clock.Now()
			}
			if hasNewTrace(before, now) && w.run.Clock.Now().Sub(changed) >= settling {
				return ending{how: EndedRecorded}
			}
		}
		w.run.progress("waiting for the server to record by itself", 0, 0, "")
		if w.run.Clock.Sleep(ctx, pollMost) != nil {
			return ending{}
		}
	}
}

// sameNew tells whether two listings have the same new files.
func sameNew(before, a, b Snapshot) bool {
	count := func(s Snapshot) (n int) {
		for path, is := range s {
			if before[path] != is {
				n++
			}
		}
		return n
	}
	for path, is := range b {
		if before[path] != is && a[path] != is {
			return false
		}
	}
	return count(a) == count(b)
}

func hasNewTrace(before, now Snapshot) bool {
	for path, is := range now {
		if before[path] != is && traceKind(path) == archive.KindTrace {
			return true
		}
	}
	return false
}
