package trace

import (
	"strings"
	"testing"
)

func TestFLOPs(t *testing.T) {
	const conv = `["", "", "", "[2, 2]", "[3, 3]", "[1, 1]", "1"]`
	for _, c := range []struct {
		name, dims, concrete string
		want                 int64
	}{
		{"aten::mm", "[[4, 8], [8, 16]]", "", 2 * 4 * 8 * 16},
		{"aten::mm", "[[4,8],[8,16]]", "", 2 * 4 * 8 * 16},
		{"aten::mm", "[[4, 8], [9, 16]]", "", 0},
		{"aten::mm", "[[4, 8]]", "", 0},
		{"aten::mm", "[]", "", 0},
		{"aten::mm", "[[4, 0], [0, 16]]", "", 0},
		{"aten::mm", "[[4, 8], [8, -16]]", "", 0},
		{"aten::mm", "[[4, 8.5], [8, 16]]", "", 0},
		{"aten::mm", "[[4294967296, 4294967296], [4294967296, 4294967296]]", "", 0},
		{"aten::mm", "[[3037000499, 1], [1, 1518500249]]", "", 2 * 3037000499 * 1518500249},
		{"aten::mm", "[[99999999999999999999, 1], [1, 1]]", "", 0},
		{"aten::mm", "[[[4, 8]], [8, 16]]", "", 0},
		{"aten::mm", "[[4, 8", "", 0},
		{"aten::addmm", "[[16], [4, 8], [8, 16], [], []]", "", 2 * 4 * 8 * 16},
		{"aten::bmm", "[[3, 4, 8], [3, 8, 16]]", "", 2 * 3 * 4 * 8 * 16},
		{"aten::bmm", "[[3, 4, 8], [2, 8, 16]]", "", 0},
		{"aten::baddbmm", "[[1, 1, 1], [3, 4, 8], [3, 8, 16]]", "", 2 * 3 * 4 * 8 * 16},
		{"aten::linear", "[[2, 4, 8], [16, 8], []]", "", 2 * 8 * 8 * 16},
		{"aten::linear", "[[8], [16, 8], []]", "", 2 * 8 * 16},
		{"aten::linear", "[[], [16, 8], []]", "", 0},
		{"aten::mul", "[[3, 4, 5], []]", "", 60},
		{"aten::add", "[[], []]", "", 1},
		{"aten::add", "[[1,2,3,4,5,6], []]", "", 0},
		{"aten::add", `"3,4"`, "", 0},
		{"aten::conv2d", "[[8, 3, 224, 224], [64, 3, 7, 7], []]", conv, 2 * 8 * 112 * 112 * 7 * 7 * 3 * 64},
		{"aten::conv2d", "[[8, 4, 10, 10], [8, 2, 3, 3], []]", `["","","","[1, 1]","[0, 0]","[1, 1]","2"]`, 2 * 8 * 8 * 8 * 9 * 4 * 8 / 2},
		{"aten::conv2d", "[[8, 3, 2, 2], [64, 3, 7, 7], []]", `["","","","[1, 1]","[0, 0]","[1, 1]","1"]`, 0},
		{"aten::conv2d", "[[8, 3, 224, 224], [64, 3, 7, 7], []]", "", 0},
		{"aten::conv2d", "[[8, 3, 224, 224], [64, 3, 7, 7], []]", `["","","","[0, 2]","[3, 3]","[1, 1]","1"]`, 0},
		{"aten::conv2d", "[[8, 3, 224, 224], [64, 3, 7, 7], []]", `["","","","[2, 2]","[3, 3]","[1, 1]","0"]`, 0},
		{"aten::conv2d", "[[8, 3, 224, 224], [64, 3, 7, 7], []]", `["","","","[2, 2]","[3, 3]","[1, 1]"]`, 0},
		{"aten::conv2d", "[[8, 3, 224, 224], [64, 3, 7, 7], []]", `["","","","same","[3, 3]","[1, 1]","1"]`, 0},
		{"aten::matmul", "[[4, 8], [8, 16]]", "", 0},
	} {
		if got := flopsOf(countedAs[c.name], []byte(c.dims), []byte(c.concrete)); got != c.want {
			t.Errorf("%s %s %s: %d, want %d", c.name, c.dims, c.concrete, got, c.want)
		}
	}
}

// TestFLOPsOnce: work is counted where it was done, not by what it was called through.
func TestFLOPsOnce(t *testing.T) {
	const dims = `"Input Dims":[[4,8],[16,8],[16]]`
	product := span4("cpu_op", "aten::addmm", 2, 3, `"Input Dims":[[16],[4,8],[8,16]]`)
	for _, c := range []struct {
		name   string
		events []string
		want   []int64
	}{
		{"a product within", []string{span4("cpu_op", "aten::linear", 1, 9, dims), product}, []int64{0, 1024}},
		{"written after it", []string{product, span4("cpu_op", "aten::linear", 1, 9, dims)}, []int64{0, 1024}},
		{"none within", []string{span4("cpu_op", "aten::linear", 1, 1, dims), product}, []int64{1024, 1024}},
		{"an addition within", []string{span4("cpu_op", "aten::linear", 1, 9, dims), span4("cpu_op", "aten::add", 2, 1, `"Input Dims":[[4],[4]]`)}, []int64{1024, 4}},
		{"the trace tells", []string{span4("cpu_op", "aten::mm", 1, 9, `"flops":77,`+dims)}, []int64{77}},
		{"of what is within, too", []string{span4("cpu_op", "x", 1, 9, `"flops":"77"`), span4("cpu_op", "y", 2, 1, `"FLOPs":70`)}, []int64{0, 70}},
		{"two within", []string{span4("cpu_op", "x", 1, 9, `"flops":77`), product, span4("cpu_op", "y", 2, 4, `"FLOPs":70`)}, []int64{0, 0, 1024}},
		{"it cannot", []string{span4("cpu_op", "x", 1, 9, `"flops":-5`), span4("cpu_op", "y", 2, 4, `"FLOPs":null`)}, []int64{0, 0}},
		{"no operator", []string{span4("kernel", "aten::mm", 1, 9, `"Input Dims":[[4,8],[8,16]]`)}, []int64{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := readColumns(t, write(t, "x.json", []byte("["+strings.Join(c.events, ",")+"]"))).Lanes[0]
			for i, want := range c.want {
				if got := l.At(i).FLOPs; got != want {
					t.Errorf("span %d: %d, want %d", i, got, want)
				}
			}
		})
	}
}
