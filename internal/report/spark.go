package report

import (
	"strconv"
	"strings"

	"profjob/internal/phrase"
)

// spark is a small picture of a value across the steps.
type spark struct {
	Path   string // of a line a value, in a box of sparkWidth by sparkHeight
	Stroke string // width of the lines
	Label  string // what it shows, in words
}

const (
	sparkWidth  = 120
	sparkHeight = 20
	sparkPoints = 60
)

// sparkOf draws times across steps; with more steps than points, the largest of each
// group of steps. Nil where there is nothing to compare.
func sparkOf(values []int64) *spark {
	if len(values) < 2 {
		return nil
	}
	least, largest := values[0], values[0]
	for _, v := range values {
		least, largest = min(least, v), max(largest, v)
	}
	if largest <= 0 {
		return nil
	}
	points := min(len(values), sparkPoints)
	var path strings.Builder
	for i := range points {
		from, to := i*len(values)/points, (i+1)*len(values)/points
		v := values[from]
		for _, other := range values[from:to] {
			v = max(v, other)
		}
		path.WriteString("M" + short((float64(i)+0.5)*sparkWidth/float64(points)) + " " + strconv.Itoa(sparkHeight) +
			"v-" + short(max(float64(max(v, 0))/float64(largest)*sparkHeight, 0.5)))
	}
	return &spark{path.String(), short(min(0.8*sparkWidth/float64(points), 9)), "across " + strconv.Itoa(len(values)) + " steps, from " + phrase.Nanos(least) + " to " + phrase.Nanos(largest)}
}

// short writes a coordinate.
func short(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}
