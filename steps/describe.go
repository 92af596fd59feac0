package steps

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Describe says for people what a plan step will do.
func Describe(s Step) string {
	switch s := s.(type) {
	case *Launch:
		return "start " + names(s.Targets) + " and wait until ready"
	case *Probe:
		return "ask " + names(s.Targets) + " what it is; " + strings.Join(s.Strategies, " or ")
	case *Preflight:
		return fmt.Sprintf("at least %s free where traces are written and kept", humanize.IBytes(uint64(s.MinFreeDisk)))
	case *Warmup:
		return describeWarmup(s)
	case *Window:
		return describeWindow(s)
	case *Collect:
		return "copy what the window wrote, once it is complete"
	case *Verify:
		return "count the engine steps in the traces, cut to the window, compare with what was asked"
	case *Shutdown:
		return "end the servers that were started"
	case *Analyze:
		return "say what the traces tell: analysis/*.json and report.html"
	case *Seal:
		return "hash every file, write the manifest, rename"
	case *Store:
		return "keep as " + s.Format + " in " + cmp.Or(s.Path, "./runs of the working directory")
	}
	return s.Kind()
}

func names(targets []Target) string {
	var all []string
	for _, t := range targets {
		all = append(all, t.Name)
	}
	return strings.Join(all, ", ")
}

func describeWarmup(w *Warmup) string {
	var until []string
	if w.Running > 0 {
		text := fmt.Sprintf("%d requests run", w.Running)
		if w.Stable > 0 {
			text += fmt.Sprintf(" for %s", w.Stable)
		}
		until = append(until, text)
	}
	if w.Requests > 0 {
		until = append(until, fmt.Sprintf("%d requests have completed", w.Requests))
	}
	if w.Duration > 0 {
		until = append(until, fmt.Sprintf("%s have passed", w.Duration))
	}
	traffic := "wait"
	if w.Traffic != nil {
		traffic = "begin load " + w.Traffic.Name + ", wait"
	}
	if len(until) == 0 && w.Traffic == nil {
		return "nothing to wait for"
	}
	if len(until) == 0 {
		return "begin load " + w.Traffic.Name
	}
	return traffic + " until " + strings.Join(until, " and ")
}

func describeWindow(w *Window) string {
	switch {
	case w.Form == "steps" && w.Delay > 0:
		return fmt.Sprintf("record %d engine steps after the first %d", w.Count, w.Delay)
	case w.Form == "steps":
		return fmt.Sprintf("record %d engine steps", w.Count)
	case w.Form == "tokens":
		return fmt.Sprintf("record %d engine steps%s", w.Count, w.Tokens)
	case w.Until != "":
		return "record until stopped"
	}
	return fmt.Sprintf("record for %s", time.Duration(w.Duration))
}
