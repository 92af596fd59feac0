package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"profjob/internal/engine"
	"profjob/internal/engine/setupfmt"
	"profjob/internal/gate"
	"profjob/steps"
)

func (a *app) gateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "gate",
		Short: "Give a vLLM server the plugin that records exact windows",
		Long: `The gate is a plugin of one Python module. A vLLM server that loads it lets profjob
record any window, with any record options, as often as wanted, without a restart
and without any profiler configuration. It does nothing until it is armed.

Servers that profjob launches get it by themselves where the window needs it. Any
other gets it so:

  profjob gate install DIR           writes the plugin
  profjob gate env DIR               prints what to set on the server
  gate { secret = var.gate_secret }  in the job file's target`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("gate %s: there is install and env, see profjob gate --help", args[0])
			}
			return usage("gate wants install or env, see profjob gate --help")
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // Args has refused
	}
	c.AddCommand(a.gateInstallCommand(), a.gateEnvCommand())
	return c
}

func (a *app) gateInstallCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "install DIR",
		Short: "Write the gate's plugin into a folder",
		Long: `Write the plugin into a folder, which is made if need be. Nothing is installed: a
server loads it from there once its environment says so (profjob gate env). A plugin
of another version that lies there is replaced. Whoever can write to the folder runs
code in the server.

Exit codes: 0 written; 1 it could not be; 2 usage wrong.`,
		Args: oneFolder,
		RunE: func(_ *cobra.Command, args []string) error { return a.runGateInstall(args[0]) },
	}
}

func (a *app) runGateInstall(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return failed(steps.ExitFailed, fmt.Errorf("gate install: %w", err))
	}
	if err := gate.Install(dir); err != nil {
		return failed(steps.ExitFailed, err)
	}
	err = a.printf("gate %s is in %s; what to set on the server, `profjob gate env %s` prints\n", gate.Version, dir, dir)
	return err
}

// gateEnvOptions are the flags of `profjob gate env`.
type gateEnvOptions struct {
	format string
	root   string
}

func (a *app) gateEnvCommand() *cobra.Command {
	var opts gateEnvOptions
	var names []string
	for _, f := range setupfmt.Formats() {
		names = append(names, string(f))
	}
	c := &cobra.Command{
		Use:   "env DIR",
		Short: "Print what to set on a server so that it loads the gate",
		Long: `Print the environment by which a server loads the gate that was installed in DIR:
PYTHONPATH with the folder in front of what it is here, VLLM_PLUGINS where it is set
here, the secret without which the gate does nothing, and where its files go.

The secret is what this environment has as PROFJOB_GATE_SECRET; where there is none,
a new one is made up and printed. The job file needs the same one.

Exit codes: 0 printed; 2 usage wrong.`,
		Example: `  eval "$(profjob gate env /opt/profjob-gate)" && vllm serve …
  profjob gate env /opt/profjob-gate -o kubernetes`,
		Args: oneFolder,
		RunE: func(_ *cobra.Command, args []string) error { return a.runGateEnv(opts, args[0]) },
	}
	c.Flags().StringVar(&opts.root, "root", "", "`folder` on the server where the gate's files go (default: one of its own below /tmp)")
	outputFlag(c, &opts.format, names...)
	return c
}

func (a *app) runGateEnv(opts gateEnvOptions, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return failed(steps.ExitFailed, fmt.Errorf("gate env: %w", err))
	}
	given := os.Getenv(gate.SecretEnv)
	set := map[string]string{}
	for _, name := range []string{"PYTHONPATH", "VLLM_PLUGINS"} {
		if value, ok := os.LookupEnv(name); ok {
			set[name] = value
		}
	}
	env, err := gate.Env(dir, cmp.Or(given, rand.Text()), opts.root, set)
	if err != nil {
		return usage("gate env: %w", err)
	}
	setup := engine.Setup{Env: env, Notes: gateNotes(setupfmt.Format(opts.format), dir, given != "")}
	if err := setupfmt.Write(a.stdout, setupfmt.Format(opts.format), setup); err != nil {
		return failed(steps.ExitFailed, err)
	}
	return nil
}

// gateNotes say what the environment alone does not.
func gateNotes(format setupfmt.Format, dir string, given bool) []string {
	var notes []string
	if !given {
		notes = append(notes, "the secret was made up: the job file's target needs the same one, gate { secret = var.gate_secret } with PROFJOB_VAR_gate_secret set to it")
	}
	switch format {
	case setupfmt.Docker:
		notes = append(notes, "the container must see the folder: add -v "+dir+":"+dir+":ro")
	case setupfmt.Kubernetes:
		notes = append(notes, "the container must see the folder "+dir+": mount it read-only; take the secret from a Secret instead of writing it here")
	}
	if _, set := os.LookupEnv("VLLM_PLUGINS"); !set {
		notes = append(notes, "where the server's environment sets VLLM_PLUGINS, add "+gate.Plugin+" to it")
	}
	return notes
}

// oneFolder is the argument of commands that take a folder.
func oneFolder(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usage("%s wants one folder, see %s --help", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}
