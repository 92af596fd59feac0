package main

import (
	"io"
	"os"
	"os/exec"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdTerminal starts a program at a terminal of its own: terminal NAME PROGRAM ARGS…
// Its standard output goes to NAME.out, what the terminal shows to NAME.err.
func cmdTerminal(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) >= 2, "terminal NAME PROGRAM ARGS…")
	user, program, err := openTerminal()
	ts.Check(err)
	shown, err := os.Create(ts.MkAbs(args[0] + ".err"))
	ts.Check(err)
	launch := func(cmd *exec.Cmd) error {
		cmd.Stdin, cmd.Stderr = program, program
		return cmd.Start()
	}
	p := startProcess(ts, launch, args[0], args[1], args[2:]...)
	ts.Check(program.Close())
	p.terminal = user
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(shown, user) // it fails once the program has ended
	}()
	ts.Defer(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-done
		_ = user.Close() // nothing was lost: all was read
		_ = shown.Close()
	})
}

// cmdType types a line at the terminal of a program: type NAME TEXT
func cmdType(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "type NAME TEXT")
	_, err := io.WriteString(processOf(ts, args[0]).terminal, args[1]+"\n")
	ts.Check(err)
}
