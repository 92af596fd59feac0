package view

import (
	"encoding/json"
	"fmt"
	"io"

	"profjob/internal/event"
)

// JSONLines shows a run's events as the journal has them, one JSON object a
// line, progress included.
type JSONLines struct {
	encoder *json.Encoder
}

// NewJSONLines makes a view that writes to out.
func NewJSONLines(out io.Writer) *JSONLines {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return &JSONLines{encoder: e}
}

// Read shows one event.
func (j *JSONLines) Read(e event.Entry) error {
	if err := j.encoder.Encode(e); err != nil {
		return fmt.Errorf("show events: %w", err)
	}
	return nil
}
