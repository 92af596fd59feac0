package wire

import "encoding/json"

// Array is a slice that is never null in JSON: who reads an array there may
// count on one. It is assigned from and to a plain slice.
type Array[T any] []T

// MarshalJSON implements json.Marshaler; nil is [].
func (a Array[T]) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(a))
}

// Object is a map by name that is never null in JSON. It is assigned from and
// to a plain map.
type Object[V any] map[string]V

// MarshalJSON implements json.Marshaler; nil is {}.
func (o Object[V]) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]V(o))
}
