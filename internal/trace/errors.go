package trace

import (
	"errors"
	"fmt"
)

// The kinds of [Error]; test with errors.Is.
var (
	// ErrTruncated says that a file ends before its JSON or its compressed
	// stream does: it is still being written, or its writer died. The events
	// read before are good.
	ErrTruncated = errors.New("trace is truncated")
	// ErrFormat says that a file is not a trace, or is damaged.
	ErrFormat = errors.New("not a valid trace")
	// ErrLimit says that a file goes beyond one of the limits of this package;
	// the message names the limit.
	ErrLimit = errors.New("trace exceeds a limit")
)

// Limits on what is read, against damaged and hostile files. The largest event
// of the traces that the tests read has 4 kB.
const (
	maxValue    = 64 << 20  // bytes of one event or one top-level value
	maxMetadata = 128 << 20 // bytes of all top-level values together
	maxKeys     = 65536     // top-level keys
	maxDepth    = 256       // nesting of arrays and objects
	maxOps      = 16 << 20  // top-level operators that Scan remembers
	maxNames    = 1 << 20   // different operator names that Scan remembers
	maxSpans    = 4 << 20   // annotations and markers that Scan remembers
	maxLanes    = 1 << 16   // threads that Scan tells apart
	maxText     = 256 << 20 // bytes of names, annotations and threads that Scan remembers
	maxTime     = 1 << 61   // ns, of any time and duration: 73 years
	maxColumns  = 1 << 30   // spans that ReadColumns keeps
	maxWideIDs  = 1 << 20   // ids beyond 31 bits that ReadColumns tells apart
	maxIDPages  = 1 << 19   // pages of a set of correlation ids, 512 bytes each

	maxRatio    = 500     // uncompressed content beside the file's size; traces have 10 to 50
	freeContent = 1 << 30 // bytes of content for which that does not matter
)

// Error is an error in a file's content.
type Error struct {
	Path   string // the file
	Offset int64  // bytes into the uncompressed JSON
	Kind   error  // ErrTruncated, ErrFormat or ErrLimit
	Detail string // what was wrong there
	Cause  error  // the decompressor's error, or nil
}

func (e *Error) Error() string {
	s := fmt.Sprintf("read trace %s: byte %d: %v: %s", e.Path, e.Offset, e.Kind, e.Detail)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}
