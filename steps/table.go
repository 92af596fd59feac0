package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// kind is one row of the table of plan steps.
type kind struct {
	name   string
	fresh  func() parameterised
	result func(json.RawMessage) (any, error)
}

// parameterised is a plan step whose header can be set when it is read back.
type parameterised interface {
	Step
	SetHeader(id string, round int)
}

// table is the table of plan steps: a new one is its file and its row here.
func table() []kind {
	return []kind{
		{"launch", func() parameterised { return new(Launch) }, decode[LaunchResult]},
		{"probe", func() parameterised { return new(Probe) }, decode[ProbeResult]},
		{"preflight", func() parameterised { return new(Preflight) }, decode[PreflightResult]},
		{"warmup", func() parameterised { return new(Warmup) }, decode[WarmupResult]},
		{"window", func() parameterised { return new(Window) }, decode[WindowResult]},
		{"collect", func() parameterised { return new(Collect) }, decode[CollectResult]},
		{"verify", func() parameterised { return new(Verify) }, decode[VerifyResult]},
		{"shutdown", func() parameterised { return new(Shutdown) }, decode[ShutdownResult]},
		{"analyze", func() parameterised { return new(Analyze) }, decode[AnalyzeResult]},
		{"seal", func() parameterised { return new(Seal) }, decode[SealResult]},
		{"store", func() parameterised { return new(Store) }, decode[StoreResult]},
	}
}

// Decode reads a plan step back from a plan's JSON.
func Decode(kindName, id string, round int, params json.RawMessage) (Step, error) {
	for _, k := range table() {
		if k.name != kindName {
			continue
		}
		s := k.fresh()
		if err := Strict(params, s); err != nil {
			return nil, fmt.Errorf("plan step %s: %w", id, err)
		}
		s.SetHeader(id, round)
		return s, nil
	}
	return nil, fmt.Errorf("plan step %s: unknown kind %q", id, kindName)
}

// DecodeResult reads a plan step's result back from a journal.
func DecodeResult(kindName string, raw json.RawMessage) (any, error) {
	for _, k := range table() {
		if k.name == kindName {
			return k.result(raw)
		}
	}
	return nil, fmt.Errorf("result of a plan step of unknown kind %q", kindName)
}

// Strict reads JSON of ours and refuses what it does not know: fields, and
// anything after the value. Numbers without a type of their own stay as written.
func Strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// decode reads a result back from JSON.
func decode[T any](raw json.RawMessage) (any, error) {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	if checked, ok := any(v).(interface{ check() error }); ok {
		if err := checked.check(); err != nil {
			return nil, err
		}
	}
	return v, nil
}
