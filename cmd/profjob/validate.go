package main

import (
	"context"

	"github.com/spf13/cobra"

	"profjob/spec"
	"profjob/steps"
)

// validateOptions are the flags of `profjob validate`.
type validateOptions struct {
	jobFlags
	output string
	json   bool
}

func (a *app) validateCommand() *cobra.Command {
	var opts validateOptions
	c := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Check job files without asking any server",
		Long: `Check job files: the language, the values, and whether a plan can be made of each
job. Every mistake is shown at once, each once. No server is asked.

Exit codes: 0 nothing wrong; 2 something is.`,
		Args: someFiles,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runValidate(cmd.Context(), opts, args) },
	}
	opts.addFlags(c)
	outputFlag(c, &opts.output, "text", "json")
	c.Flags().BoolVar(&opts.json, "json", false, "the same as -o json")
	return c
}

func (a *app) runValidate(ctx context.Context, opts validateOptions, paths []string) error {
	wrong := false
	for _, path := range paths {
		c, err := opts.load(ctx, path)
		if c == nil {
			return err
		}
		wrong = wrong || err != nil
		if err := a.tellValid(opts.json || opts.output == "json", path, c.diags); err != nil {
			return failed(steps.ExitFailed, err)
		}
	}
	if wrong {
		return said(steps.ExitUsage)
	}
	return nil
}

func (a *app) tellValid(asJSON bool, path string, diags *spec.Diagnostics) error {
	if asJSON {
		return diags.WriteJSON(a.stdout)
	}
	if err := a.sayDiagnostics(diags); err != nil || diags.HasErrors() {
		return err
	}
	err := a.printf("%s: valid\n", path)
	return err
}
