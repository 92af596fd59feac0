package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"profjob/internal/guard"
	"profjob/steps"
)

// guardCommand is what a run starts to outlive it. It speaks to its run only.
func (a *app) guardCommand() *cobra.Command {
	var locks string
	c := &cobra.Command{
		Use:    "guard --locks DIR",
		Short:  "What a run starts, so that nothing is left running where the run dies",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// A terminal that ends, a Ctrl-C, a service that is stopped: all of them
			// reach the run too, whose end is the guard's. And the run may be gone when
			// it is answered. They are caught, not ignored: what is ignored stays so in
			// the servers that are launched.
			caught := make(chan os.Signal, 1)
			signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
			defer signal.Stop(caught)
			if err := guard.Serve(cmd.Context(), a.stdin, a.stdout, guard.Options{LockDir: locks, Log: a.stderr}); err != nil {
				return failed(steps.ExitFailed, err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&locks, "locks", "", "`folder` of the locks of endpoints")
	return c
}
