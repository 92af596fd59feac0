package trace

import (
	"errors"
	"strings"
	"testing"
)

// passesOf makes passes 10 ns long from letters (see classes).
func passesOf(letters string) []Pass {
	var passes []Pass
	for _, c := range letters {
		if c == '!' {
			passes[len(passes)-1].Whole = false
			continue
		}
		i := len(passes)
		p := Pass{Index: i, Whole: true, Start: int64(i) * 10, End: int64(i)*10 + 10, Tokens: int64(i)}
		for _, class := range []Class{Prefill, Decode, Mixed, Idle, Unknown} {
			if rune(class[0]) == c {
				p.Class = class
			}
		}
		passes = append(passes, p)
	}
	return passes
}

func TestSelect(t *testing.T) {
	isDecode := func(p *Pass) bool { return p.Class == Decode }
	for _, test := range []struct {
		name, passes string
		window       Window
		first, last  int
		reason       string
	}{
		{"all", "pdd", Window{Count: 3}, 0, 2, ""},
		{"the first", "pdd", Window{Count: 1}, 0, 0, ""},
		{"delay", "pdddd", Window{Delay: 2, Count: 2}, 2, 3, ""},
		{"idle passes between", "pidiid", Window{Count: 3}, 0, 5, ""},
		{"idle passes before", "iipd", Window{Count: 2}, 2, 3, ""},
		{"delay does not count idle ones", "piiddd", Window{Delay: 1, Count: 2}, 3, 4, ""},
		{"idle passes after are left out", "pdii", Window{Count: 2}, 0, 1, ""},
		{"last not whole and not needed", "pdd!", Window{Count: 2}, 0, 1, ""},
		{"first qualifies later", "pmddd", Window{Count: 2, First: isDecode}, 2, 3, ""},
		{"first after the delay", "dpdd", Window{Delay: 1, Count: 2, First: isDecode}, 2, 3, ""},
		{"every", "dpddp", Window{Count: 2, First: isDecode, Every: isDecode}, 2, 3, ""},

		{"nothing", "", Window{Count: 1}, 0, 0, "no engine step was recorded"},
		{"only idle", "ii", Window{Count: 1}, 0, 0, "no engine step was recorded"},
		{"within the delay", "pd", Window{Delay: 2, Count: 1}, 0, 0, "within the delay of 2"},
		{"too few", "pdd", Window{Delay: 1, Count: 3}, 0, 0, "no more than 2 are left"},
		{"last not whole", "pddd!", Window{Count: 4}, 0, 0, "without its sampling"},
		{"none qualifies", "pppp", Window{Count: 1, First: isDecode}, 0, 0, "qualifies as the first"},
		{"not in a row", "dpdpdp", Window{Count: 2, Every: isDecode}, 0, 0, "no more than 1 in a row"},
		{"no count", "pd", Window{}, 0, 0, "at least one step"},
		{"negative delay", "pd", Window{Count: 1, Delay: -1}, 0, 0, "no negative delay"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cut, err := Select(passesOf(test.passes), test.window)
			var missed *NotFoundError
			switch {
			case test.reason == "" && err != nil:
				t.Fatal(err)
			case test.reason == "":
				want := Cut{test.first, test.last, test.window.Count, int64(test.first) * 10, int64(test.last)*10 + 10, true}
				if cut != want {
					t.Errorf("got %+v, want %+v", cut, want)
				}
			case !errors.As(err, &missed) || !strings.Contains(missed.Error(), test.reason):
				t.Errorf("got %+v, %v, want %q", cut, err, test.reason)
			case missed.Asked != test.window.Count:
				t.Errorf("%+v", missed)
			}
		})
	}
}
