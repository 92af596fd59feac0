//go:build e2e

package e2e

import (
	"syscall"
	"testing"
	"time"
)

// outage is how long a fault of a request lasts in TestStepFaults.
const outage = 2 * time.Second

// stepFaults are what can become of any request.
var stepFaults = []fault{
	{name: "dropped before", do: drop, lasts: outage},
	{name: "dropped after", do: dropAfter, lasts: outage},
	{name: "500", do: answers(500, "Internal Server Error"), lasts: outage},
	{name: "503 of a gateway", do: answers(503, "no upstream"), lasts: outage},
	{name: "endless body", do: endless, lasts: outage},
	{name: "slow by 2 s", do: slow(2 * time.Second), lasts: outage},
	{name: "garbage", do: answers(200, garbage), lasts: outage},
	{name: "redirect elsewhere", do: redirect, lasts: outage},
	{name: "connection refused", do: refused(outage), times: 1},
	{name: "server killed", do: ended(syscall.SIGKILL), times: 1, off: byEnd},
	{name: "server restarted", do: restarted, times: 1},
}

// stepPlaces are the plan steps, and the parts of a window, that ask the server for
// something, by the job that has them.
var stepPlaces = []struct {
	job, at, path string
	kept          bool // by then the server has recorded something that must not be lost
}{
	{"launched", "launch", "", false},
	{"warm", "probe", "", false},
	{"warm", "warmup", "", false},
	{"warm", "before the start", "", false},
	{"warm", atStart, "", false}, // hits what is asked before the start itself is sent
	{"warm", atStart, pathStart, false},
	{"warm", atWindow, "", true},
	{"warm", atStop, "", true},
	{"warm", "after the stop", "", true},
	{"gated", "probe", "", false},
	{"gated", atStart, "", false},
	{"gated", atWindow, "", false},
	{"gated", atStop, "", true},
	{"gated", "collect", "", true},
}

// TestStepFaults has every fault of a request at every plan step that asks the server
// for something: 14 places, 11 faults.
func TestStepFaults(t *testing.T) {
	all := everyStepFault()
	if !wanted("PROFJOB_FAULTS") {
		all = everyNth(all, 12, 5)
	}
	rows := sideBySide(t, all, func(f fault) string { return f.title() }, func(t *testing.T, f fault) string {
		return f.play(t, f.victim(t))
	})
	printFaults(t, rows)
}

func everyStepFault() (all []fault) {
	for _, place := range stepPlaces {
		for _, f := range stepFaults {
			f.job, f.at, f.path, f.exits = place.job, place.at, place.path, []int{0, 4, 5, 6}
			dies := f.off == byEnd || f.name == "server restarted"
			f.kept = place.kept && !dies
			f.left = place.job == "gated" && dies // a gate's files go the way of its server
			if place.job == "launched" {
				f.off = byEnd
				if f.name == "server restarted" {
					continue // the run's own server is for the run to start
				}
			}
			all = append(all, f)
		}
	}
	return all
}
