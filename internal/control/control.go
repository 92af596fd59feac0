// Package control lets one profjob ask another, running one to end its window.
// A run listens on a Unix socket and describes itself in the user's state
// directory; who wants it to end finds it there by its job file. What ending
// means is the run's own business.
package control

import (
	"errors"
	"path/filepath"
)

// Info says which run listens.
type Info struct {
	PID     int      `json:"pid"`
	JobFile string   `json:"job_file"` // absolute
	Job     string   `json:"job"`      // address
	Targets []string `json:"targets"`  // endpoints, as far as the job file names them
	Socket  string   `json:"socket"`   // absolute; Listen sets it
}

// StateDir is where the user's runs are found: PROFJOB_STATE_DIR, else
// XDG_STATE_HOME/profjob, else ~/.local/state/profjob. It is absolute.
func StateDir(getenv func(string) string) (string, error) {
	if dir := getenv("PROFJOB_STATE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) { // a relative one is to be ignored: XDG Base Directory Specification 0.8
		return filepath.Join(dir, "profjob"), nil
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "profjob"), nil
	}
	return "", errors.New("no state directory: set PROFJOB_STATE_DIR or HOME")
}

// runsDir holds a description of each run that listens.
func runsDir(stateDir string) string { return filepath.Join(stateDir, "runs") }

const (
	infoSuffix   = ".json"
	socketSuffix = ".sock"
)
