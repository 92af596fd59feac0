package main

import (
	"bufio"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"profjob/internal/control"
	"profjob/spec"
	"profjob/steps"
)

// watchSignals hands the user's signals to a run; the function returned ends that.
func (a *app) watchSignals(interrupts *steps.Interrupts) (stop func()) {
	signals := make(chan os.Signal, 4)
	// A broken pipe must not end a run: the write that broke it has its error.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGPIPE {
					a.end(interrupts)
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		<-finished
	}
}

// end passes on one wish to end. The view tells of an interrupt of the run; that a
// window has taken it for itself is told here.
func (a *app) end(interrupts *steps.Interrupts) (count int) {
	count = interrupts.Signal()
	if count == 0 {
		a.notes.say("ending the window")
	}
	return count
}

// offerEnter lets the Enter key end a window that lasts until it is stopped.
func (a *app) offerEnter(job *spec.Job, interrupts *steps.Interrupts) {
	if job.Window.Manual == nil || job.Window.Manual.Until == "" || !isTerminal(a.stdin) {
		return
	}
	a.notes.say("Enter, Ctrl-C or `profjob stop` ends the window")
	go func() { // a read of a terminal cannot be ended: it lasts as long as the process
		in := bufio.NewScanner(a.stdin)
		for in.Scan() {
			if interrupts.EndWindow() {
				return
			}
		}
	}()
}

// listen makes the run known to `profjob stop`; the function returned ends that.
func (a *app) listen(file *spec.File, job *spec.Job, interrupts *steps.Interrupts) (stop func(), err error) {
	nothing := func() {}
	dir, err := control.StateDir(os.Getenv)
	if err != nil {
		return nothing, err
	}
	path, err := filepath.Abs(file.Path)
	if err != nil {
		return nothing, err
	}
	info := control.Info{PID: os.Getpid(), JobFile: path, Job: job.Address}
	for _, t := range job.Targets {
		info.Targets = append(info.Targets, t.Endpoints...)
	}
	server, err := control.Listen(dir, info, func() string {
		if count := a.end(interrupts); count == 0 {
			return "the window is ending"
		}
		return "the run is ending: its profiler is stopped, what was recorded is kept"
	})
	if err != nil {
		return nothing, err
	}
	return func() {
		if err := server.Close(); err != nil {
			a.log.Warn("close control socket", "error", err)
		}
	}, nil
}
