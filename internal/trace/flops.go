package trace

import (
	"math"
	"math/bits"
	"slices"
)

// counted is how the floating point operations of an operator are counted from the
// shapes of its inputs: as torch counts them (torch/csrc/profiler/util.cpp,
// saveExtraArgs and computeFlops), and linear, which it leaves to the product within.
type counted uint8

const (
	notCounted  counted = iota
	elements            // as many as the first input has elements
	product             // of the inputs 0 and 1
	addProduct          // of the inputs 1 and 2
	linear              // of the input 0 and the transposed input 1
	convolution         // of images
)

var countedAs = map[string]counted{
	"aten::mul": elements, "aten::add": elements,
	"aten::mm": product, "aten::bmm": product,
	"aten::addmm": addProduct, "aten::baddbmm": addProduct,
	"aten::linear": linear, "aten::conv2d": convolution,
}

// shape is the sizes of a tensor.
type shape struct {
	dims int // -1: of a list of tensors, or more than there is room for
	size [5]int64
}

func (s *shape) sizes() []int64 { return s.size[:max(s.dims, 0)] }

// flopsOf counts by the raw values of the arguments Input Dims and Concrete Inputs. It
// gives 0 where they do not tell, or tell of more than an int64 holds.
func flopsOf(c counted, inputDims, concrete []byte) int64 {
	var s [3]shape
	n := parseShapes(inputDims, s[:])
	switch {
	case c == elements && n >= 1 && s[0].dims >= 0:
		return multiply(s[0].sizes())
	case c == product && n >= 2:
		return productFLOPs(&s[0], &s[1])
	case c == addProduct && n >= 3:
		return productFLOPs(&s[1], &s[2])
	case c == linear && n >= 2:
		return linearFLOPs(&s[0], &s[1])
	case c == convolution && n >= 2:
		return convolutionFLOPs(&s[0], &s[1], concrete)
	}
	return 0
}

// productFLOPs are 2·m·k·n of each of the batch.
func productFLOPs(a, b *shape) int64 {
	switch {
	case a.dims == 2 && b.dims == 2 && a.size[1] == b.size[0]:
		return multiply([]int64{2, a.size[0], a.size[1], b.size[1]})
	case a.dims == 3 && b.dims == 3 && a.size[0] == b.size[0] && a.size[2] == b.size[1]:
		return multiply([]int64{2, a.size[0], a.size[1], a.size[2], b.size[2]})
	}
	return 0
}

// linearFLOPs are those of an input (…, k) and a weight (n, k).
func linearFLOPs(input, weight *shape) int64 {
	if weight.dims != 2 || input.dims < 1 || input.size[input.dims-1] != weight.size[1] {
		return 0
	}
	return multiply(append([]int64{2, weight.size[0]}, input.sizes()...))
}

// convolutionFLOPs takes stride, padding, dilation and groups from the inputs 3 to 6.
func convolutionFLOPs(input, weight *shape, concrete []byte) int64 {
	values, ok := parseConcrete(concrete)
	if !ok || input.dims != 4 || weight.dims != 4 {
		return 0
	}
	groups := values[3][0]
	factors := []int64{2, input.size[0], weight.size[0], input.size[1], weight.size[2], weight.size[3]}
	for i := range 2 {
		stride, padding, dilation := values[0][i], values[1][i], values[2][i]
		const most = 1 << 30 // no size comes near; sums of such do not overflow
		kernel, size := weight.size[2+i], input.size[2+i]
		if stride < 1 || max(stride, padding, dilation) > most || min(padding, dilation) < 0 || max(kernel, size) > most || kernel < 1 {
			return 0
		}
		room := size + 2*padding - 1
		if dilation > 0 && kernel-1 > room/dilation {
			return 0
		}
		factors = append(factors, (room-dilation*(kernel-1))/stride+1)
	}
	if groups < 1 {
		return 0
	}
	return multiply(factors) / groups
}

// multiply gives 0 where the product is more than an int64 holds, and for sizes that
// are none.
func multiply(factors []int64) int64 {
	n := uint64(1)
	for _, f := range factors {
		if f < 0 {
			return 0
		}
		high, low := bits.Mul64(n, uint64(f))
		if high != 0 || low > math.MaxInt64 {
			return 0
		}
		n = low
	}
	return int64(n)
}

// parseShapes reads Input Dims, [[8, 64], [64, 32], []], as many as there is room for,
// and gives how many there are.
func parseShapes(raw []byte, into []shape) int {
	n, depth := 0, 0
	var s *shape
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '[':
			depth++
			switch {
			case depth == 2 && n == len(into):
				return n
			case depth == 2:
				s = &into[n]
				s.dims = 0
				n++
			case depth > 2:
				s.dims = -1
			}
		case c == ']':
			depth--
		case c >= '0' && c <= '9' && depth == 2:
			end := i + 1
			for end < len(raw) && raw[end] >= '0' && raw[end] <= '9' {
				end++
			}
			size, ok := parseInt(raw[i:end])
			if !ok || s.dims < 0 || s.dims == len(s.size) {
				s.dims = -1
			} else {
				s.size[s.dims] = size
				s.dims++
			}
			i = end
			continue
		case c == ',' || c <= ' ':
		case depth == 2:
			s.dims = -1
		}
		i++
	}
	return n
}

// parseConcrete reads of ["", "", "", "[2, 2]", "[3, 3]", "[1, 1]", "1"] the pairs and
// the number from the fourth on.
func parseConcrete(raw []byte) (values [4][2]int64, ok bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return values, false
	}
	i := 1
	for n := range 7 {
		i = skipSpace(raw, i)
		end := skipValue(raw, i)
		if end < 0 || raw[i] != '"' {
			return values, false
		}
		if text := raw[i+1 : end-1]; n >= 3 && !parsePair(text, &values[n-3], n < 6) {
			return values, false
		}
		if i = skipSpace(raw, end); i >= len(raw) || raw[i] != ',' && n < 6 {
			return values, false
		}
		i++
	}
	return values, true
}

func parsePair(text []byte, into *[2]int64, pair bool) (ok bool) {
	if !pair {
		into[0], ok = parseInt(text)
		return ok
	}
	var s [1]shape
	wrapped := append(append([]byte{'['}, text...), ']')
	if parseShapes(wrapped, s[:]) != 1 || s[0].dims != 2 {
		return false
	}
	into[0], into[1] = s[0].size[0], s[0].size[1]
	return true
}

// count takes over an operator's FLOPs: those of its argument, where a version writes
// one, else by its shapes.
func (b *columnsBuilder) count(l *Lane, r *record, e *Event) {
	told, ok := e.ArgInt("flops")
	if !ok {
		told, ok = e.ArgInt("FLOPs")
	}
	c := b.counted[r.name&nameMask]
	if (!ok || told <= 0) && c != notCounted {
		if dims, has := e.Arg("Input Dims"); has {
			concrete, _ := e.Arg("Concrete Inputs")
			told, ok = flopsOf(c, dims, concrete), false
		}
	}
	if told <= 0 {
		return
	}
	r.link = uint32(len(b.columns.flops))
	b.columns.flops = append(b.columns.flops, told)
	l.outer = l.outer || ok || c == linear || c == convolution
}

// countInnermost drops the FLOPs of operators whose work others within them are counted
// for: of a linear those of its addmm, say. Additions and multiplications within do not
// replace a product.
func (b *columnsBuilder) countInnermost(l *Lane) {
	var open []*record
	for i := range l.n {
		r := l.at(i)
		if Kind(r.name>>nameBits) != Operator || r.link == 0 {
			continue
		}
		for n := len(open); n > 0 && open[n-1].start+l.length(open[n-1]) <= r.start; n-- {
			open = open[:n-1]
		}
		open = slices.DeleteFunc(open, func(outer *record) bool { // at most a product and one of elements are left
			within := b.countsAs(outer) == elements || b.countsAs(r) != elements
			if within {
				b.columns.flops[outer.link] = 0
			}
			return within
		})
		open = append(open, r)
	}
}

func (b *columnsBuilder) countsAs(r *record) counted { return b.counted[r.name&nameMask] }
