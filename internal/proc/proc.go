// Package proc starts a server as a process group of its own and ends all of it.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Spec is a process to start.
type Spec struct {
	Command []string
	Env     []string // whole environment
	Dir     string
	Log     string // path of the file that gets stdout and stderr; it must not exist
}

// Process is a started process group. Its methods may be called from several goroutines.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{}
	err    error // written before exited is closed

	ending sync.Mutex
}

// groupPoll is how often End looks whether a group is gone.
const groupPoll = 20 * time.Millisecond

// Start starts a process group. Its standard input is a pipe that stays open
// until End, so that a server can watch for the end of whoever started it.
func Start(s Spec) (*Process, error) {
	log, err := os.OpenFile(s.Log, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	defer log.Close() // the child has a copy of its own
	cmd := exec.Command(s.Command[0], s.Command[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.Env, s.Dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	p := &Process{cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// PID is the process's and its group's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed once the process itself has ended; children of it may live on until End.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitError says how the process ended: nil while it runs and after exit status 0.
func (p *Process) ExitError() error {
	select {
	case <-p.exited:
		return p.err
	default:
		return nil
	}
}

// End sends SIGTERM to the group, waits up to the grace, then kills what is left
// and waits until the group is gone. It may be called again.
func (p *Process) End(ctx context.Context, grace time.Duration) error {
	p.ending.Lock()
	defer p.ending.Unlock()
	if p.gone() {
		return nil
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if p.wait(ctx, grace) {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	const killed = 10 * time.Second
	if !p.wait(context.WithoutCancel(ctx), killed) {
		return fmt.Errorf("process group %d is still there %s after SIGKILL", p.PID(), killed)
	}
	return nil
}

func (p *Process) signal(sig syscall.Signal) error {
	err := syscall.Kill(-p.PID(), sig)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to process group %d: %w", sig, p.PID(), err)
	}
	return nil
}

// wait waits until the group is gone; false once the time is up or ctx has ended.
func (p *Process) wait(ctx context.Context, most time.Duration) bool {
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(groupPoll)
	defer tick.Stop()
	for !p.gone() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// gone tells whether the process was waited for and no other member of its group lives.
func (p *Process) gone() bool {
	select {
	case <-p.exited:
	default:
		return false
	}
	_ = p.stdin.Close() // the reader has ended
	return errors.Is(syscall.Kill(-p.PID(), 0), syscall.ESRCH)
}
