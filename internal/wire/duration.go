// Package wire has the types whose form in profjob's own JSON files (plan,
// journal, manifest) differs from their form in memory.
package wire

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that is written as Go's duration string ("1m30s").
type Duration time.Duration

// String gives the duration as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("parse duration: %w", err)
	}
	*d = Duration(v)
	return nil
}
