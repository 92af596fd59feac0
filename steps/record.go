package steps

import (
	"maps"
	"slices"

	"profjob/internal/archive"
	"profjob/internal/engine"
	"profjob/internal/trace"
)

// option is one record option with the name that job files give it.
type option struct {
	name string
	on   bool
}

func options(r engine.Record) []option {
	return []option{{"shapes", r.Shapes}, {"memory", r.Memory}, {"stack", r.Stack}, {"flops", r.FLOPs}}
}

func manifestOptions(r engine.Record) archive.Options {
	return archive.Options{Shapes: r.Shapes, Memory: r.Memory, Stack: r.Stack, FLOPs: r.FLOPs}
}

// lacking names the options that are on in want and off in have.
func lacking(want, have []option) []string {
	var names []string
	for i := range want {
		if want[i].on && !have[i].on {
			names = append(names, want[i].name)
		}
	}
	return names
}

// activityDevice is the activity of what runs on accelerators.
const activityDevice = "device"

func activityName(activity string) string { return "activity " + activity }

// lackingActivities names those asked for that a server does not record. One that
// tells of none has not said which.
func lackingActivities(want, have []string) []string {
	var names []string
	for _, a := range want {
		if len(have) > 0 && !slices.Contains(have, a) {
			names = append(names, activityName(a))
		}
	}
	return names
}

// sortedEnv gives KEY=value in order.
func sortedEnv(env map[string]string) []string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		all = append(all, k+"="+env[k])
	}
	return all
}

// options sets what all traces show, and what any shows unasked. It names what was
// asked for and not recorded.
func (v *Verify) options(result *VerifyResult, read []scanned) (missing []string) {
	if len(read) == 0 {
		return nil
	}
	all := archive.Options{Shapes: true, Memory: true, Stack: true, FLOPs: true}
	asked := options(v.Record)
	for _, r := range read {
		s := r.scan.Options
		all = archive.Options{Shapes: all.Shapes && s.Shapes, Memory: all.Memory && s.Memory,
			Stack: all.Stack && s.Stack, FLOPs: all.FLOPs && s.FLOPs}
		for _, extra := range lacking(traceOptions(s), asked) {
			if !slices.Contains(result.Extra, extra) {
				result.Extra = append(result.Extra, extra)
			}
		}
	}
	result.Seen = &all
	seen := Record{Shapes: all.Shapes, Memory: all.Memory, Stack: all.Stack, FLOPs: all.FLOPs}
	missing = lacking(asked, options(seen))
	onDevice := func(r scanned) bool { return r.scan.Activities.Device }
	if slices.Contains(v.Record.Activities, activityDevice) && !slices.ContainsFunc(read, onDevice) {
		missing = append(missing, activityName(activityDevice))
	}
	return missing
}

func traceOptions(o trace.Options) []option {
	return options(Record{Shapes: o.Shapes, Memory: o.Memory, Stack: o.Stack, FLOPs: o.FLOPs})
}

// whatToSet says how the first target is launched to record as asked.
func (v *Verify) whatToSet(run *Run) string {
	probed, _ := Latest[ProbeResult](run.State)
	for _, e := range probed.Endpoints {
		return WhatToSet(v.Targets[0], run.traceDir(v.Targets[0]), e.Info.Version, v.Record)
	}
	return ""
}
