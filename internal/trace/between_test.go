package trace

import "testing"

func TestBetween(t *testing.T) {
	passes := []Pass{
		{Class: Decode, Start: 10, End: 20, Whole: true}, {Class: Idle, Start: 20, End: 25, Whole: true},
		{Class: Prefill, Start: 25, End: 40, Whole: true}, {Class: Decode, Start: 40, End: 50},
	}
	for _, c := range []struct {
		first, last int
		want        Cut
		fails       bool
	}{
		{0, 0, Cut{First: 0, Last: 0, Steps: 1, Start: 10, End: 20, Whole: true}, false},
		{0, 2, Cut{First: 0, Last: 2, Steps: 2, Start: 10, End: 40, Whole: true}, false},
		{2, 3, Cut{First: 2, Last: 3, Steps: 2, Start: 25, End: 50}, false},
		{-1, 2, Cut{}, true}, {2, 1, Cut{}, true}, {0, 4, Cut{}, true},
	} {
		got, err := Between(passes, c.first, c.last)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%d..%d: %+v, %v", c.first, c.last, got, err)
		}
	}
	if _, err := Between(nil, 0, 0); err == nil {
		t.Error("of no passes there is nothing between")
	}
}

func TestDuring(t *testing.T) {
	passes := []Pass{{Class: Decode, Start: 10, End: 20, Whole: true}, {Class: Idle, Start: 20, End: 25, Whole: true}, {Class: Decode, Start: 25, End: 40, Whole: true}}
	for _, c := range []struct {
		start, end int64
		want       Cut
	}{
		{0, 100, Cut{First: 0, Last: 2, Steps: 2, End: 100, Whole: true}},
		{10, 25, Cut{First: 0, Last: 1, Steps: 1, Start: 10, End: 25, Whole: true}},
		{11, 30, Cut{First: 1, Last: 2, Steps: 1, Start: 11, End: 30}},
		{50, 60, Cut{First: -1, Last: -1, Start: 50, End: 60, Whole: true}},
	} {
		if got, err := During(passes, c.start, c.end); got != c.want || err != nil {
			t.Errorf("%d to %d: %+v, %v", c.start, c.end, got, err)
		}
	}
	if _, err := During(passes, 5, 5); err == nil {
		t.Error("nothing lasts from 5 to 5")
	}
}

func TestCutName(t *testing.T) {
	for name, want := range map[string]string{
		"a/x.1.pt.trace.json.gz": "a/x.1.window.pt.trace.json.gz", "a/1.5-TP-0.trace.json.gz": "a/1.5-TP-0.window.trace.json.gz",
		"y.trace.json": "y.window.trace.json",
		"z.json.zst":   "z.window.json.zst", "odd": "odd.window",
	} {
		if got := CutName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
