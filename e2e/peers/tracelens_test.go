//go:build e2e

package peers

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"profjob/internal/analysis"
)

// recorded is what TraceLens's own reference reports say of one of its test traces:
// it is on no package registry, so that it can't be run here.
type recorded struct {
	File    string  `json:"file"`
	Kernels int     `json:"kernels"` // 0 where the report has no count
	US      float64 `json:"kernel_us"`
	Copies  bool    `json:"copies"` // copies and fills are in it
	Report  string  `json:"report"`
	Commit  string  `json:"commit"`
}

// traceLens is tracelens.json by file.
func traceLens(t *testing.T) map[string]recorded {
	t.Helper()
	data, err := os.ReadFile("tracelens.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Recorded []recorded `json:"recorded"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatalf("tracelens.json: %v", err)
	}
	all := map[string]recorded{}
	for _, r := range file.Recorded {
		all[r.File] = r
	}
	return all
}

// compare gives the row of TraceLens. TraceLens rounds each duration to 1/1024 µs where
// it takes it from the floating-point times of start and end.
func (r recorded) compare(t *testing.T, trace *analysis.Trace) row {
	t.Helper()
	count, sum := 0, 0.0
	for _, k := range trace.Total.Kernels {
		copies := strings.HasPrefix(k.Name, "Memcpy") || strings.HasPrefix(k.Name, "Memset")
		if !copies || r.Copies {
			count += k.Count
			sum += us(k.Time)
		}
	}
	if r.Kernels != 0 && r.Kernels != count {
		t.Errorf("%d kernels, %s has %d", count, r.Report, r.Kernels)
	}
	if math.Abs(sum-r.US) > float64(count)/1024 {
		t.Errorf("%.3f µs of kernels, %s has %.3f µs", sum, r.Report, r.US)
	}
	nan := math.NaN()
	f := &figures{events: -1, sum: r.US, span: nan, idle: nan, compute: nan, communication: nan, copies: nan}
	why := []string{"as recorded in its tests"}
	if r.Kernels != 0 {
		f.events = r.Kernels
	}
	if !r.Copies {
		why = append(why, "kernels alone, without copies and fills")
	}
	return row{file: "tracelens/" + r.File, tool: "TraceLens", figures: f, why: why}
}
