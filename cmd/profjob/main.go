// Command profjob profiles exactly one window of an LLM inference server's work,
// as a job file describes it, and proves what it recorded.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(Main()) }

// Main runs the command line and gives the exit code. It is a function of its
// own so that tests can run the whole program within theirs.
func Main() int {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, args: os.Args[1:]}
	return a.run(context.Background())
}
