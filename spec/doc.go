// Package spec is the job language: it reads a job file, evaluates it and
// checks it. What comes out is a [File] of plain structs in which every value
// is known, or diagnostics that say what is wrong with the file, all at once.
//
// The package knows nothing of servers. What a target block of an engine may
// hold is told to it by a [Catalog]. It reads no clock, sends nothing over a
// network, and gives the same result for the same files and [Inputs].
//
// To follow a file through the package, read [LoadFile] (file.go), then the
// decoder of a block in the file of its name (job.go, window.go, …). What a
// block may hold is in one table, schema.go, which the decoders and the
// reference of the language share.
package spec
