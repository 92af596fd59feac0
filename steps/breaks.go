package steps

import (
	"errors"
	"io/fs"
	"time"

	"profjob/internal/archive"
)

// breaks are copies whose source broke off, by the file's path. Each is gone on with,
// later each time, until it has broken off a few times at the same place.
type breaks map[string]broken

type broken struct {
	at    int64     // bytes that were copied
	times int       // in a row without getting any further
	until time.Time // when it is tried again
}

// breakTries is how often a copy may break off without getting any further; the pauses
// between are 1 s and twice the one before: 15 s in all.
const breakTries = 5

// again notes how a copy ended, and tells whether it is to be tried once more.
func (b breaks) again(path string, err error, now time.Time) bool {
	var source *archive.SourceError
	if !errors.As(err, &source) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrInvalid) {
		return false
	}
	last := b[path]
	if source.At > last.at {
		last = broken{at: source.At}
	}
	last.times++
	last.until = now.Add(time.Second << (last.times - 1))
	b[path] = last
	return last.times < breakTries
}

// resting tells whether it is too early to try a copy again.
func (b breaks) resting(path string, now time.Time) bool { return now.Before(b[path].until) }
