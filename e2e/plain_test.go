//go:build e2e

package e2e

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// What follows reads traces with encoding/json and nothing of profjob's own.

// stepName is the annotation of a step: context requests and tokens, generation requests and tokens.
var stepName = regexp.MustCompile(`^execute_context_(\d+)\((\d+)\)_generation_(\d+)\((\d+)\)$`)

// plainTrace is a trace as encoding/json reads it.
type plainTrace struct {
	Events []struct {
		Name string  `json:"name"`
		Cat  string  `json:"cat"`
		TS   float64 `json:"ts"`
		Args struct {
			Dims json.RawMessage `json:"Input Dims"`
		} `json:"args"`
	} `json:"traceEvents"`
	Shapes int `json:"record_shapes"`
	Memory int `json:"profile_memory"`
	Stack  int `json:"with_stack"`
	FLOPs  int `json:"with_flops"`
}

func readPlain(path string) (*plainTrace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var tr plainTrace
	if err := json.NewDecoder(z).Decode(&tr); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &tr, nil
}

// plainSteps gives the engine steps of a trace file.
func plainSteps(path string) ([]plainStep, error) {
	tr, err := readPlain(path)
	if err != nil {
		return nil, err
	}
	steps, err := tr.steps()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return steps, nil
}

// plainStep is an engine step as encoding/json finds it: by its annotation, else by
// the look-up of its tokens, which has no name of its own.
type plainStep struct {
	at                  float64
	name                string
	context, generation int // requests
	tokens              int
	choices             int // how often it chose tokens, which ends a step
}

func (s plainStep) class() string {
	switch {
	case s.name == "":
		return "unknown"
	case s.generation == 0:
		return "prefill"
	case s.context == 0:
		return "decode"
	}
	return "mixed"
}

// steps gives the engine steps of a trace in the order of time.
func (tr *plainTrace) steps() ([]plainStep, error) {
	var steps []plainStep
	for _, e := range tr.Events {
		m := stepName.FindStringSubmatch(e.Name)
		if e.Cat != "user_annotation" || m == nil {
			continue
		}
		n := make([]int, 5)
		for i := 1; i < 5; i++ {
			n[i], _ = strconv.Atoi(m[i])
		}
		if n[1]+n[3] > 0 {
			steps = append(steps, plainStep{at: e.TS, name: e.Name, context: n[1], generation: n[3], tokens: n[2] + n[4]})
		}
	}
	for _, e := range tr.Events {
		if len(steps) > 0 && steps[0].name != "" || e.Cat != "cpu_op" || e.Name != "aten::embedding" {
			continue
		}
		var dims [][]int
		if err := json.Unmarshal(e.Args.Dims, &dims); err != nil || len(dims) < 2 || len(dims[1]) != 1 {
			return nil, fmt.Errorf("no shapes: %s", e.Args.Dims)
		}
		steps = append(steps, plainStep{at: e.TS, tokens: dims[1][0]})
	}
	slices.SortFunc(steps, func(a, b plainStep) int { return cmp.Compare(a.at, b.at) })
	for _, e := range tr.Events { // aten::argmax, and _C::greedy_argmax by 0.32.0
		i := sort.Search(len(steps), func(i int) bool { return steps[i].at > e.TS }) - 1
		if i >= 0 && e.Cat == "cpu_op" && strings.HasSuffix(e.Name, "argmax") {
			steps[i].choices++
		}
	}
	return steps, nil
}
