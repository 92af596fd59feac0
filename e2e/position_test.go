//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Where a run is, by its journal: the plan step that began last; while its window is
// open, also which part of it. A journal's line is on disk before what it tells of is
// done, so that a proxy which looks at each request is never behind.
const (
	atStart  = "start"  // the start, or the arming of the gate, is on its way
	atWindow = "window" // it was answered
	atStop   = "stop"   // the stop, or the disarming, is on its way
	atSealed = "sealed" // the run has its final name
	atBegin  = "begin"  // nothing was begun
)

// position tells where the newest run is that works in the folder.
func (a *arena) position() string {
	partial, _ := filepath.Glob(filepath.Join(a.dir, "runs/*/*.partial"))
	if len(partial) == 0 {
		if sealed, _ := filepath.Glob(filepath.Join(a.dir, "runs/*/*Z-*")); len(sealed) > 0 {
			return atSealed
		}
		return ""
	}
	return position(partial[len(partial)-1])
}

// position tells where the run in a directory is, or was cut off.
func position(dir string) string {
	passed := positions(dir)
	return passed[len(passed)-1]
}

// positions tells where the run in a directory has been, in order.
func positions(dir string) []string {
	at, passed := atBegin, []string{atBegin}
	data, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
	if err != nil {
		return passed
	}
	for _, line := range bytes.Split(data, []byte("\n")) {
		var e struct {
			Event string `json:"event"`
			Data  struct{ Step, Kind, Action string }
		}
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		within := at == atStart || at == atWindow || at == atStop
		switch starts := e.Data.Action == "start" || e.Data.Action == "arm"; {
		case e.Event == "step_started" && e.Data.Kind == "window":
			at = "before the start"
		case e.Event == "step_started":
			at = e.Data.Kind
		case e.Event == "intent" && starts:
			at = atStart
		case e.Event == "outcome" && starts && at == atStart:
			at = atWindow
		case e.Event == "intent" && within:
			at = atStop
		case e.Event == "outcome" && within:
			at = "after the stop"
		}
		if at != passed[len(passed)-1] {
			passed = append(passed, at)
		}
	}
	return passed
}

// reached tells whether the newest run has been somewhere, be it past it already.
func (a *arena) reached(at string) bool {
	partial, _ := filepath.Glob(filepath.Join(a.dir, "runs/*/*.partial"))
	return len(partial) > 0 && slices.Contains(positions(partial[len(partial)-1]), at)
}

// await waits until the run has come somewhere, and tells whether it came there before
// done was closed.
func (a *arena) await(at string, done <-chan struct{}) bool {
	for {
		if a.reached(at) {
			return true
		}
		select {
		case <-done:
			return false
		case <-time.After(time.Millisecond):
		}
	}
}

// journals are the journals of all runs, the unfinished ones too.
func (a *arena) journals() string {
	var all strings.Builder
	names, _ := filepath.Glob(filepath.Join(a.dir, "runs/*/*/journal.jsonl"))
	for _, name := range names {
		data, _ := os.ReadFile(name)
		all.Write(data)
	}
	return all.String()
}
