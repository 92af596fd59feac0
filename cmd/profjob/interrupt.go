package main

import (
	"bufio"
	"fmt"
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
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case <-signals:
				a.tellInterrupt(interrupts.Signal())
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

// tellInterrupt says on stderr what an interrupt does.
func (a *app) tellInterrupt(count int) {
	var text string
	switch count {
	case 0:
		text = "ending the window"
	case 1:
		text = "interrupted: stopping the profiler and keeping what there is; once more keeps nothing"
	case 2:
		text = "interrupted again: only stopping the profiler; once more leaves at once"
	default:
		text = "leaving at once: the profiler may still be on (profjob stop)"
	}
	fmt.Fprintln(a.stderr, text) //nolint:errcheck // nobody is left to tell
}

// offerEnter lets the Enter key end a window that lasts until it is stopped.
func (a *app) offerEnter(job *spec.Job, interrupts *steps.Interrupts) {
	if job.Window.Manual == nil || job.Window.Manual.Until == "" || !isTerminal(a.stdin) {
		return
	}
	fmt.Fprintln(a.stderr, "Enter, Ctrl-C or `profjob stop` ends the window") //nolint:errcheck // it is only a hint
	go func() {                                                               // a read of a terminal cannot be ended: it lasts as long as the process
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
		count := interrupts.Signal()
		a.tellInterrupt(count)
		if count == 0 {
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
