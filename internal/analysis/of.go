package analysis

import "profjob/internal/trace"

// of analyses the columns of a trace.
func of(c *trace.Columns) *Reading {
	s := c.Summary
	r := &Reading{Trace: Trace{
		Host: s.Host, EngineVersion: s.VLLMVersion, Rank: s.Rank, WorldSize: s.WorldSize,
		Options: s.Options, Activities: s.Activities, Events: s.Events, Start: s.First, End: s.Last, Evidence: s.Evidence,
	}}
	return r
}
