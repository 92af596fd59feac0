package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// object is a JSON object whose keys keep their order, as a Python dictionary's
// do: which of several faults is told depends on it.
type object struct {
	keys   []string
	values map[string]any
}

// maxDepth is how deep values may be nested; Python gives up at about as many.
const maxDepth = 900

var errNotJSON = errors.New("not JSON")

// decode reads one JSON value: nil, bool, string, json.Number, []any or *object.
// An empty text is an empty object.
func decode(text []byte) (any, error) {
	if len(text) == 0 {
		return &object{values: map[string]any{}}, nil
	}
	if !utf8.Valid(text) {
		return nil, errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, errNotJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return v, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	bracket, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == maxDepth {
		return nil, errNotJSON
	}
	if bracket == '[' {
		return list(d, depth+1)
	}
	return members(d, depth+1)
}

func list(d *json.Decoder, depth int) ([]any, error) {
	all := []any{}
	for d.More() {
		v, err := value(d, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	_, err := d.Token()
	return all, err
}

func members(d *json.Decoder, depth int) (*object, error) {
	o := &object{values: map[string]any{}}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, errNotJSON
		}
		v, err := value(d, depth)
		if err != nil {
			return nil, err
		}
		if _, again := o.values[key]; !again {
			o.keys = append(o.keys, key)
		}
		o.values[key] = v
	}
	_, err := d.Token()
	return o, err
}
