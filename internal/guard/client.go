package guard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"profjob/internal/proc"
	"profjob/internal/wire"
)

// ErrGone: the guard has ended. Nothing may be begun without it.
var ErrGone = errors.New("the guard is gone")

// Client is a run's end of the pipe to its guard. Its methods may be called from
// several goroutines.
type Client struct {
	in     io.WriteCloser
	wait   func() error // for the guard's end
	ended  chan struct{}
	reader sync.WaitGroup

	mu        sync.Mutex
	next      int
	waiting   map[int]chan answer
	processes map[string]*Process
	gone      bool
	left      bool // Close or Abandon was called
}

// Start starts a guard: program is profjob's own, args make it one, env is its whole
// environment, which others may see. log gets its lines and stays the caller's to close. It runs in a session of its own, so that
// neither the end of a terminal nor a signal to the run's process group reaches it.
func Start(program string, args, env []string, log *os.File) (*Client, error) {
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stderr = env, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return Connect(in, out, cmd.Wait), nil
}

// Connect speaks to a guard that serves at the other ends of in and out. wait, which
// is called once out has ended, returns when the guard has.
func Connect(in io.WriteCloser, out io.Reader, wait func() error) *Client {
	c := &Client{in: in, wait: wait, ended: make(chan struct{}), waiting: map[int]chan answer{}, processes: map[string]*Process{}}
	c.reader.Go(func() { c.read(out) })
	return c
}

// read takes the guard's answers until it ends.
func (c *Client) read(out io.Reader) {
	defer close(c.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 4<<10), maxLine)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			break // not a guard
		}
		if a.ID == 0 {
			c.exited(a)
			continue
		}
		c.mu.Lock()
		waiting := c.waiting[a.ID]
		delete(c.waiting, a.ID)
		c.mu.Unlock()
		if waiting != nil {
			waiting <- a // it has room for one
		}
	}
	_, _ = io.Copy(io.Discard, out) // it must not block on what nobody reads
	_ = c.wait()                    // how it ended is of no use: what it did is in its log
	c.mu.Lock()
	c.gone = true
	for id, waiting := range c.waiting {
		close(waiting)
		delete(c.waiting, id)
	}
	processes := c.processes
	left := c.left
	c.mu.Unlock()
	for _, p := range processes {
		if !left {
			p.over(ErrGone)
		}
	}
}

// call sends a request and waits for its answer.
func (c *Client) call(ctx context.Context, r request) (answer, error) {
	got := make(chan answer, 1)
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return answer{}, ErrGone
	}
	c.next++
	r.ID = c.next
	c.waiting[r.ID] = got
	line, err := encode(r)
	if err == nil {
		_, err = c.in.Write(line)
	}
	if err != nil {
		delete(c.waiting, r.ID)
	}
	c.mu.Unlock()
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrGone, err)
	}
	select {
	case a, ok := <-got:
		switch {
		case !ok:
			return answer{}, ErrGone
		case a.Held != nil:
			return a, &HeldError{Endpoint: a.Held.Endpoint, By: a.Held.By}
		case a.Error != "":
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	}
}

// Hold tells the guard of what is about to begin; when it returns nil the guard
// knows, and it may begin.
func (c *Client) Hold(ctx context.Context, h Hold) error {
	_, err := c.call(ctx, request{Op: opHold, Hold: &h})
	return err
}

// Begun tells the guard that it has begun for certain.
func (c *Client) Begun(ctx context.Context, h Hold) error {
	_, err := c.call(ctx, request{Op: opBegun, Hold: &h})
	return err
}

// Over tells the guard that it has ended, or never began.
func (c *Client) Over(ctx context.Context, h Hold) error {
	_, err := c.call(ctx, request{Op: opOver, Hold: &h})
	return err
}

// Lock takes the locks of endpoints for who, until the guard ends. The error is a
// *HeldError where another run has one of them after wait.
func (c *Client) Lock(ctx context.Context, endpoints []string, who Holder, wait time.Duration) error {
	_, err := c.call(ctx, request{Op: opLock, Lock: &lockRequest{Endpoints: endpoints, Holder: who, Wait: wire.Duration(wait)}})
	return err
}

// Launch starts a server as the guard's child.
func (c *Client) Launch(ctx context.Context, target string, spec proc.Spec) (*Process, error) {
	p := &Process{client: c, target: target, exited: make(chan struct{})}
	c.mu.Lock()
	c.processes[target] = p // before it can end
	c.mu.Unlock()
	a, err := c.call(ctx, request{Op: opLaunch, Target: target, Launch: &spec})
	if err != nil {
		return nil, err
	}
	p.pid = a.PID
	return p, nil
}

// Close takes leave: the run owes nothing any more. It returns once the guard has ended.
func (c *Client) Close() error {
	c.leave()
	_, err := c.call(context.Background(), request{Op: opBye})
	err = errors.Join(err, c.closeIn())
	c.reader.Wait()
	return err
}

// closeIn ends the pipe, which the end of the guard has closed already where it
// came first.
func (c *Client) closeIn() error {
	if err := c.in.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Abandon leaves what is owed to the guard, which ends it as if the run had died.
// It returns once the guard is done, or ctx has ended.
func (c *Client) Abandon(ctx context.Context) error {
	c.leave()
	err := c.closeIn()
	select {
	case <-c.ended:
		c.reader.Wait()
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

func (c *Client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
}
