package trace

import (
	"fmt"
	"slices"
)

// clippedArg marks an event that Trim has clipped.
const clippedArg = `"profjob_clipped": true`

// appendClipped appends the event with its span clipped to [start, end) and
// marked. All other bytes stay.
func appendClipped(dst []byte, e *Event, start, end int64) []byte {
	from, to := max(e.TS, start), min(e.End(), end)
	edits := []edit{
		{e.ts, micros(from, e.Raw[e.ts.start] == '"')},
		{e.dur, micros(to-from, e.Raw[e.dur.start] == '"')},
		markClipped(e),
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.at.start - b.at.start })
	done := 0
	for _, edit := range edits {
		dst = append(dst, e.Raw[done:edit.at.start]...)
		dst = append(dst, edit.text...)
		done = edit.at.end
	}
	return append(dst, e.Raw[done:]...)
}

// edit replaces a part of an event's bytes.
type edit struct {
	at   span
	text string
}

// markClipped puts the mark into the args, or beside them where there are none
// or they are no object.
func markClipped(e *Event) edit {
	end := len(e.Raw) - 1 // the closing bracket
	if len(e.Args) == 0 {
		return edit{span{end, end}, `, "args": {` + clippedArg + `}`}
	}
	if e.Args[0] != '{' {
		return edit{span{end, end}, `, ` + clippedArg}
	}
	at := e.args.start + 1
	if i := skipSpace(e.Args, 1); e.Args[i] == '}' {
		return edit{span{at, at}, clippedArg}
	}
	return edit{span{at, at}, clippedArg + `, `}
}

// micros writes ns as decimal microseconds.
func micros(ns int64, quoted bool) string {
	sign := ""
	if ns < 0 {
		sign, ns = "-", -ns
	}
	s := fmt.Sprintf("%s%d.%03d", sign, ns/1000, ns%1000)
	if quoted {
		return `"` + s + `"`
	}
	return s
}
