package analysis

import "profjob/internal/trace"

// memory finds the peaks.
func memory(c *trace.Columns, steps []Step) []MemoryPeak { return nil }
