package guard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"profjob/internal/proc"
)

// Options are what a guard needs.
type Options struct {
	LockDir string    // where the locks of endpoints are, absolute
	Log     io.Writer // what it does, a line each
}

// Serve is the life of a guard: it carries out the requests that come from in,
// answers to out, and returns once it was taken leave of, or once in has ended and
// everything that was owed is done. It fails only on requests that it cannot read.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	s := &server{options: o, out: out, holds: map[string]*hold{}, processes: map[string]*proc.Process{}}
	s.say("guard of process %d, itself %d", os.Getppid(), os.Getpid())
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	bye, err := s.listen(serving, in)
	cancel() // a lock that is waited for is nobody's any more
	bye = bye && !s.owes()
	if !bye {
		s.rescue(ctx)
	}
	s.work.Wait() // a lock that came late is let go, too
	s.locks.release()
	if bye {
		s.say("disarmed")
	}
	return err
}

// server is a guard.
type server struct {
	options Options
	work    sync.WaitGroup

	mu        sync.Mutex
	out       io.Writer
	holds     map[string]*hold // by endpoint
	processes map[string]*proc.Process
	locks     locks
}

// hold is a Hold and whether it has begun for certain.
type hold struct {
	Hold
	begun bool
}

// say writes a line into the log.
func (s *server) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	_, _ = fmt.Fprintf(s.options.Log, "%s %s\n", time.Now().UTC().Format(logTime), text) // nobody is left to tell
}

// answer writes one line to the run. One that died reads nothing any more.
func (s *server) answer(a answer, err error) {
	var held *HeldError
	if errors.As(err, &held) {
		a.Held = heldOf(held)
	}
	if err != nil {
		a.Error = err.Error()
	}
	line, err := encode(a)
	if err != nil {
		return // it is made of strings and numbers
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.out.Write(line)
}

func heldOf(e *HeldError) *held { return &held{Endpoint: e.Endpoint, By: e.By} }

// listen carries out requests until the run takes leave, or in ends.
func (s *server) listen(ctx context.Context, in io.Reader) (bye bool, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return false, fmt.Errorf("read a request: %w", err)
		}
		if r.Op == opBye {
			s.answer(answer{ID: r.ID}, nil)
			return true, nil
		}
		s.carryOut(ctx, r)
	}
	return false, lines.Err()
}

// carryOut carries out one request. What takes its time has a goroutine of its
// own, so that the next request is heard.
func (s *server) carryOut(ctx context.Context, r request) {
	switch {
	case r.Op == opHold && r.Hold != nil:
		s.set(*r.Hold, func(h *hold) { h.begun = false })
		s.answer(answer{ID: r.ID}, nil)
	case r.Op == opBegun && r.Hold != nil:
		s.set(*r.Hold, func(h *hold) { h.begun = true })
		s.answer(answer{ID: r.ID}, nil)
	case r.Op == opOver && r.Hold != nil:
		s.mu.Lock()
		delete(s.holds, r.Hold.Endpoint)
		s.mu.Unlock()
		s.answer(answer{ID: r.ID}, nil)
	case r.Op == opLaunch && r.Launch != nil:
		pid, err := s.launch(ctx, r.Target, *r.Launch)
		s.answer(answer{ID: r.ID, PID: pid}, err)
	case r.Op == opEnd:
		s.work.Go(func() {
			s.answer(answer{ID: r.ID}, s.end(context.WithoutCancel(ctx), r.Target, time.Duration(r.Grace)))
		})
	case r.Op == opLock && r.Lock != nil:
		s.work.Go(func() { s.answer(answer{ID: r.ID}, s.lock(ctx, *r.Lock)) })
	default:
		s.answer(answer{ID: r.ID}, fmt.Errorf("the guard knows no request %q", r.Op))
	}
}

func (s *server) set(of Hold, change func(*hold)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &hold{Hold: of}
	change(h)
	s.holds[of.Endpoint] = h
}

// launch starts a server; its end is told to the run.
func (s *server) launch(ctx context.Context, target string, spec proc.Spec) (pid int, err error) {
	p, err := proc.Start(spec)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.processes[target] = p
	s.mu.Unlock()
	s.say("launched %s, process %d", target, p.PID())
	s.work.Go(func() {
		select {
		case <-p.Exited():
		case <-ctx.Done():
			return
		}
		a := answer{Exited: target, PID: p.PID()}
		if err := p.ExitError(); err != nil {
			text := err.Error()
			a.Status = &text
		}
		s.answer(a, nil)
	})
	return p.PID(), nil
}

func (s *server) end(ctx context.Context, target string, grace time.Duration) error {
	s.mu.Lock()
	p, ok := s.processes[target]
	s.mu.Unlock()
	if !ok {
		return nil
	}
	if err := p.End(ctx, grace); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.processes, target)
	s.mu.Unlock()
	return nil
}

func (s *server) lock(ctx context.Context, r lockRequest) error {
	got, err := acquire(ctx, s.options.LockDir, r)
	s.mu.Lock()
	s.locks = append(s.locks, got...)
	s.mu.Unlock()
	return err
}

// owes tells whether something is on, or runs: a run that takes leave all the same
// does not know of it.
func (s *server) owes() bool {
	holds, targets := s.owed()
	return len(holds)+len(targets) > 0
}

// owed gives what is still on, and what still runs.
func (s *server) owed() (holds []hold, targets []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.holds {
		holds = append(holds, *h)
	}
	for t := range s.processes {
		targets = append(targets, t)
	}
	slices.SortFunc(holds, func(a, b hold) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	slices.Sort(targets)
	return holds, targets
}
