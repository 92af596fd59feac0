// Package trace reads Kineto JSON, the trace files that torch's profiler
// writes, and says which engine steps a file holds. It is the only package
// that parses traces: verification and trimming stand on its one streaming
// [Reader].
//
// It knows files, not servers: no HTTP, no host, no plan. What it knows of a
// server is the text of the annotations that the server puts into its traces.
//
// The parts, from the bottom:
//
//   - [Open] and [Reader.Next]: the events of a file, one at a time, whatever
//     its size and compression, which is undone by a goroutine of the reader's own
//   - [Complete]: whether a file has been written to its end
//   - [Scan]: one pass over a file, giving its [Summary] with the passes found
//   - [Select]: which of those passes make up the window that was asked for
//   - [Trim]: a file cut to that window
//
// All times are integer nanoseconds. Nothing here keeps global state; a Reader
// belongs to one goroutine, everything else may be called from many.
package trace
