package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"profjob/internal/archive"
	"profjob/internal/event"
	"profjob/steps"
)

// journal is the reader of events that keeps them: one JSON object a line, each
// on disk before the next thing begins. Progress is not kept.
//
// A line that could not be written whole is taken back, so that what the file
// holds can always be read.
type journal struct {
	mu     sync.Mutex // Close may come while somebody emits
	file   *os.File   // nil once it is closed
	size   int64      // of the whole lines
	broken error      // half a line could not be taken back
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &journal{file: f}, nil
}

// reopenJournal goes on with the journal of a run that was cut off: what comes after
// its whole lines is taken back.
func reopenJournal(path string, size int64) (*journal, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), f.Close())
	}
	return &journal{file: f, size: size}, nil
}

// Read writes one event. What comes after Close is for views only. An error
// means that the run's record cannot be kept, as when the disk is full.
func (j *journal) Read(e event.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, passing := e.Event.(event.Progress); passing || j.file == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: encode %s: %w", e.Event.Kind(), err)
	}
	if err := j.write(append(line, '\n')); err != nil {
		return &steps.Failure{Status: archive.StatusIncomplete, Exit: steps.ExitIncomplete, Final: true,
			Err: fmt.Errorf("journal: %w", err)}
	}
	return nil
}

func (j *journal) write(line []byte) error {
	if j.broken != nil {
		return j.broken
	}
	n, err := j.file.Write(line)
	if err != nil {
		if n > 0 {
			j.broken = j.file.Truncate(j.size)
		}
		return err
	}
	j.size += int64(n)
	return j.file.Sync()
}

// Close ends the journal. It may be called again.
func (j *journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Sync(), j.file.Close())
	j.file = nil
	return err
}
