package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"profjob/steps"
)

// release is the version of this build; the linker may set it.
var release = "0.1.0-dev"

// commit is the revision that the build was made from; the linker may set it.
var commit string

// version is what manifests say and what required_version is compared with.
func version() string { return release }

func (a *app) versionCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version, the commit that it was built from, and the version of Go.

Exit codes: 0 printed; 2 usage wrong.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if output == "json" {
				err := json.NewEncoder(a.stdout).Encode(map[string]string{"version": version(), "commit": revision(), "go": runtime.Version()})
				if err != nil {
					return failed(steps.ExitFailed, err)
				}
				return nil
			}
			fmt.Fprintf(a.stdout, "profjob %s (%s, %s)\n", version(), revision(), runtime.Version()) //nolint:errcheck // nobody is left to tell
			return nil
		},
	}
	outputFlag(c, &output, "text", "json")
	return c
}

// revision is the commit that the build was made from.
func revision() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown commit"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "unknown commit"
}
