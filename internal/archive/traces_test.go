package archive

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTraces(t *testing.T) {
	file := func(path, target string, round, attempt int, from string) File {
		return File{Path: path, Kind: KindTrace, Target: target, Round: round, Attempt: attempt, TrimmedFrom: from}
	}
	m := &Manifest{
		Files: []File{
			file("2/b", "s", 2, 1, ""), file("1/lost", "s", 1, 1, ""), file("1/d", "d", 1, 2, ""),
			file("1/whole", "s", 1, 2, ""), file("1/cut", "s", 1, 2, "1/whole"), file("2/a", "s", 2, 1, ""),
			{Path: "1/frontend", Kind: KindFrontend, Target: "s", Round: 1, Attempt: 2}, file("3/none", "s", 3, 1, ""), file("3/late", "s", 3, 2, ""),
		},
		Rounds: []Round{{Number: 1, Windows: []Window{{Attempt: 2}}}, {Number: 2, Windows: []Window{{Attempt: 1}}}, {Number: 3}},
	}
	var got []string
	for _, g := range m.Traces() {
		for _, f := range g.Files {
			got = append(got, g.Target+" "+f.Path)
		}
	}
	want := []string{"d 1/d", "s 1/cut", "s 2/a", "s 2/b", "s 3/late"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
