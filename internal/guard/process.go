package guard

import (
	"context"
	"errors"
	"sync"
	"time"

	"profjob/internal/proc"
	"profjob/internal/wire"
)

// Process is a server that the guard launched. Its methods may be called from
// several goroutines.
type Process struct {
	client *Client
	target string
	pid    int
	once   sync.Once
	exited chan struct{}
	err    error // written before exited is closed
}

// PID is the process's and its group's number.
func (p *Process) PID() int { return p.pid }

// Exited is closed once the process has ended, or once nobody is left who would know.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitError says how it ended: nil while it runs and after exit status 0.
func (p *Process) ExitError() error {
	select {
	case <-p.exited:
		return p.err
	default:
		return nil
	}
}

// End ends the whole process group, as proc.Process.End does.
func (p *Process) End(ctx context.Context, grace time.Duration) error {
	_, err := p.client.call(ctx, request{Op: opEnd, Target: p.target, Grace: wire.Duration(grace)})
	if errors.Is(err, ErrGone) {
		return proc.EndGroup(ctx, p.pid, grace)
	}
	return err
}

func (p *Process) over(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.exited)
	})
}

// exited notes that a launched server has ended.
func (c *Client) exited(a answer) {
	c.mu.Lock()
	p := c.processes[a.Exited]
	c.mu.Unlock()
	if p == nil {
		return
	}
	var err error
	if a.Status != nil {
		err = errors.New(*a.Status)
	}
	p.over(err)
}
