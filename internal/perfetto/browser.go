package perfetto

import (
	"errors"
	"os/exec"
	"runtime"
)

// ErrNoBrowser says that there is nothing to show a browser on.
var ErrNoBrowser = errors.New("there is no display to open a browser on")

// OpenBrowser opens a link in the user's browser, and does not wait for it. getenv tells
// of the environment.
func OpenBrowser(link string, getenv func(string) string) error {
	command := []string{"xdg-open", link}
	switch {
	case runtime.GOOS == "darwin":
		command[0] = "open"
	case runtime.GOOS == "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler", link}
	case getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "":
		return ErrNoBrowser // xdg-open would open one for text in this terminal
	}
	cmd := exec.Command(command[0], command[1:]...)
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
