// Package proc starts a server as a process group of its own and ends all of it.
// It knows processes, not what they serve.
package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"profjob/internal/scrub"
)

// Spec is a process to start.
type Spec struct {
	Command []string // a name without a slash is looked up in the PATH of Env
	Env     []string // whole environment, KEY=value; of two with one key the last counts
	Dir     string
	Log     string // path of the file that gets stdout and stderr; it must not exist
	// Hide are values that Log gets with a marker in their place. The process then
	// writes to a file without a name, out of which this process fills Log within a
	// fraction of a second: a pipe would block the process, or end it, with this one.
	Hide []string
}

// Process is a started process group. Its methods may be called from several goroutines.
type Process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	log    *follower // nil: the process writes its log by itself
	exited chan struct{}
	err    error // written before exited is closed

	ending sync.Mutex
	over   bool // the group was seen to be gone: its number may be another's by now
}

const (
	// groupPoll is how often End looks whether a group is gone.
	groupPoll = 20 * time.Millisecond
	// killWait bounds the wait after SIGKILL: a process in an uninterruptible call
	// of a driver ends only when that returns.
	killWait = 10 * time.Second
)

// Start starts a process group. Its standard input is a pipe that stays open
// until End or the end of this process, so that a server can watch for the end of
// whoever started it. After an error nothing is left, no log either; the error
// names the program or the log, and leaves it to the caller to say whose it is.
func Start(s Spec) (*Process, error) {
	if len(s.Command) == 0 {
		return nil, errors.New("the command is empty")
	}
	program, err := lookUp(s.Command[0], s.Env, s.Dir)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.Log, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	p, err := startLogged(s, program, log)
	if err != nil {
		return nil, errors.Join(err, os.Remove(s.Log))
	}
	return p, nil
}

// startLogged starts a process whose output ends up in log, which it closes.
func startLogged(s Spec, program string, log *os.File) (*Process, error) {
	hide := scrub.Of(s.Hide)
	if len(hide) == 0 {
		defer log.Close() // the child has a copy of its own
		return start(s, program, log, nil)
	}
	f, raw, err := newFollower(filepath.Dir(s.Log), log, hide)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	defer raw.Close() // the child has a copy of its own
	p, err := start(s, program, raw, f)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return p, nil
}

func start(s Spec, program string, log *os.File, f *follower) (*Process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close() // the child has a copy of its own
	cmd := exec.Command(program, s.Command[1:]...)
	cmd.Args[0] = s.Command[0]
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Env, s.Dir, read, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	p := &Process{cmd: cmd, stdin: write, log: f, exited: make(chan struct{})}
	if f != nil {
		f.follow()
	}
	go func() { // it ends with the process
		p.err = cmd.Wait()
		if f != nil {
			f.poll() // who waits for the end reads the log then
		}
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

// End closes the process's standard input, sends SIGTERM to the group, waits up
// to the grace or the end of ctx, then kills what is left and waits until the
// group is gone. Whoever left the group (with setsid, as daemons do) is not of
// it. End may be called again, also while another End waits.
func (p *Process) End(ctx context.Context, grace time.Duration) error {
	p.ending.Lock()
	defer p.ending.Unlock()
	_ = p.stdin.Close() // the second time it is closed already
	if err := endGroup(ctx, p.PID(), grace, p.gone); err != nil {
		return err
	}
	return p.CloseLog()
}

// CloseLog writes to the log what the process has written so far, and nothing from
// then on. End does it by itself. An error says what was lost of it.
func (p *Process) CloseLog() error {
	if p.log == nil {
		return nil
	}
	if err := p.log.close(); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// gone tells whether the process was waited for and no other member of its group lives.
func (p *Process) gone() bool {
	select {
	case <-p.exited:
	default:
		return false
	}
	p.over = p.over || !groupLives(p.PID())
	return p.over
}
