package trace

import "encoding/json"

// trimKey is the top-level key that Trim adds.
const trimKey = "profjob_trim"

// Trimmed is what Trim writes into a file about the cut.
type Trimmed struct {
	Version int             `json:"version"` // of this object: 1
	Source  string          `json:"source"`  // base name of the file that was cut
	Steps   int             `json:"steps"`   // engine steps in the window
	Start   int64           `json:"start_ns"`
	End     int64           `json:"end_ns"`
	Whole   bool            `json:"whole"`        // every step has its sampling
	Of      json.RawMessage `json:"of,omitempty"` // this key's value in the source, if that was cut itself
}

// parseTrimmed gives nil for a value that is none of ours.
func parseTrimmed(raw []byte) *Trimmed {
	var t Trimmed
	if json.Unmarshal(raw, &t) != nil || t.Version != 1 {
		return nil
	}
	return &t
}
