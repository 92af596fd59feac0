// Package guardtest has guards for tests of what a run asks of them.
package guardtest

import (
	"context"
	"io"

	"profjob/internal/guard"
)

// InProcess serves a guard within this process, which it does not outlive.
func InProcess(o guard.Options) *guard.Client {
	requests, in := io.Pipe()
	out, answers := io.Pipe()
	done := make(chan error, 1)
	go func() { // it ends with the client's Close or Abandon
		err := guard.Serve(context.Background(), requests, answers, o)
		_ = requests.Close()
		_ = answers.Close()
		done <- err
	}()
	return guard.Connect(in, out, func() error { return <-done })
}
