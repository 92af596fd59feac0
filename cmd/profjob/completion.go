package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"profjob/steps"
)

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script of a shell",
		Long: `Print the completion script of a shell.

Exit codes: 0 printed; 2 usage wrong.`,
		Example:   `  source <(profjob completion bash)`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.complete(cmd.Root(), args[0]); err != nil {
				return failed(steps.ExitFailed, fmt.Errorf("completion: %w", err))
			}
			return nil
		},
	}
}

func (a *app) complete(root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(a.stdout, true)
	case "zsh":
		return root.GenZshCompletion(a.stdout)
	case "fish":
		return root.GenFishCompletion(a.stdout, true)
	}
	return root.GenPowerShellCompletionWithDesc(a.stdout)
}
