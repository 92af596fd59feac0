package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"profjob/internal/event"
)

// journal is the reader of events that keeps them: one JSON object a line, each
// on disk before the next thing begins. Progress is not kept.
type journal struct {
	file *os.File // nil once it is closed
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &journal{file: f}, nil
}

// Read writes one event. What comes after Close is for views only.
func (j *journal) Read(e event.Entry) error {
	if _, passing := e.Event.(event.Progress); passing || j.file == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: encode %s: %w", e.Event.Kind(), err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Close ends the journal. It may be called again.
func (j *journal) Close() error {
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Sync(), j.file.Close())
	j.file = nil
	return err
}
