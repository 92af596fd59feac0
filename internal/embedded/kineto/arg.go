package kineto

import (
	"strconv"
)

// DType is the element type of a tensor, spelled as torch's profiler does.
type DType string

// The element types that the embedded engine's model has.
const (
	Float32 DType = "float"
	Int64   DType = "long int"
	Int32   DType = "int"
)

type argKind uint8

const (
	kindNone argKind = iota
	kindTensor
	kindInt
	kindFloat
	kindBool
	kindInts
)

const maxDims = 4

// Arg is one input of an operator, as it appears in a trace's "Input Dims",
// "Input type", "Input Strides" and "Concrete Inputs". It holds no pointers, so
// that naming the inputs of an operator costs nothing where nothing records.
type Arg struct {
	kind  argKind
	rank  uint8
	typ   DType
	dims  [maxDims]int64
	float float64
}

// Tensor is a contiguous tensor input with at most four dimensions, outermost
// first; more are cut off.
func Tensor(t DType, dims ...int) Arg {
	a := Arg{kind: kindTensor, typ: t}
	a.setDims(dims)
	return a
}

// Ints is a list of at most four integers, such as a shape.
func Ints(v ...int) Arg {
	a := Arg{kind: kindInts}
	a.setDims(v)
	return a
}

// Int is an integer scalar.
func Int(v int) Arg { return Arg{kind: kindInt, dims: [maxDims]int64{int64(v)}} }

// Float is a floating point scalar.
func Float(v float64) Arg { return Arg{kind: kindFloat, float: v} }

// Bool is a boolean scalar.
func Bool(v bool) Arg {
	a := Arg{kind: kindBool}
	if v {
		a.dims[0] = 1
	}
	return a
}

// None is an optional input that was left out.
func None() Arg { return Arg{} }

func (a *Arg) setDims(dims []int) {
	if len(dims) > maxDims {
		dims = dims[:maxDims]
	}
	a.rank = uint8(len(dims))
	for i, d := range dims {
		a.dims[i] = int64(d)
	}
}

func (a *Arg) numel() int64 {
	n := int64(1)
	for _, d := range a.dims[:a.rank] {
		n *= d
	}
	return n
}

func (a *Arg) appendDims(b []byte) []byte {
	b = append(b, '[')
	if a.kind == kindTensor {
		b = appendInts(b, a.dims[:a.rank])
	}
	return append(b, ']')
}

func (a *Arg) appendStrides(b []byte) []byte {
	b = append(b, '[')
	if a.kind == kindTensor {
		var strides [maxDims]int64
		next := int64(1)
		for i := int(a.rank) - 1; i >= 0; i-- {
			strides[i] = next
			next *= a.dims[i]
		}
		b = appendInts(b, strides[:a.rank])
	}
	return append(b, ']')
}

func (a *Arg) appendType(b []byte) []byte {
	b = append(b, '"')
	switch a.kind {
	case kindTensor:
		b = append(b, a.typ...)
	case kindInts:
		b = append(b, "ScalarList"...)
	case kindInt, kindFloat, kindBool:
		b = append(b, "Scalar"...)
	}
	return append(b, '"')
}

func (a *Arg) appendConcrete(b []byte) []byte {
	b = append(b, '"')
	switch a.kind {
	case kindInt:
		b = strconv.AppendInt(b, a.dims[0], 10)
	case kindFloat:
		b = strconv.AppendFloat(b, a.float, 'g', -1, 64)
	case kindBool:
		if a.dims[0] != 0 {
			b = append(b, "True"...)
		} else {
			b = append(b, "False"...)
		}
	case kindInts:
		b = append(b, '[')
		b = appendInts(b, a.dims[:a.rank])
		b = append(b, ']')
	}
	return append(b, '"')
}

func appendInts(b []byte, v []int64) []byte {
	for i, d := range v {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, d, 10)
	}
	return b
}

// flops counts as torch.profiler does with with_flops: multiply-adds of matrix
// products twice, elementwise sums and products once, everything else not at all.
func flops(name string, in []Arg) int64 {
	switch name {
	case "aten::mm":
		if len(in) < 2 || in[0].rank != 2 || in[1].rank != 2 {
			return 0
		}
		return 2 * in[0].dims[0] * in[0].dims[1] * in[1].dims[1]
	case "aten::mul", "aten::add":
		if len(in) == 0 {
			return 0
		}
		return in[0].numel()
	}
	return 0
}
