package report

import (
	"encoding/json"
	"path"
	"path/filepath"

	"profjob/internal/archive"
	"profjob/internal/regular"
)

// maxLoad bounds a summary of a load that is read, in bytes.
const maxLoad = 1 << 20

// Rows is how many rows of each list a page shows, and so needs of an analysis.
const Rows = mostRows + 1

// LoadsOf reads the summaries of a run's loads, of the attempts whose windows count. One
// that is missing, or in a packed run, is left out: the page is not about them.
func LoadsOf(m *archive.Manifest) []Load {
	var all []Load
	for _, f := range m.Files {
		if path.Base(f.Path) == "load.json" && f.Kind == archive.KindLoad && f.Attempt == attemptOf(m, f.Round) {
			all = appendLoad(all, filepath.Join(m.Dir, filepath.FromSlash(f.Path)), f.Round, f.Attempt)
		}
	}
	return all
}

// attemptOf is the attempt of a round that has its windows, 0 for none.
func attemptOf(m *archive.Manifest, round int) int {
	for _, r := range m.Rounds {
		if r.Number == round && len(r.Windows) > 0 {
			return r.Windows[0].Attempt
		}
	}
	return 0
}

// ReadLoad reads the summary of one attempt's load; false where there is none.
func ReadLoad(file string, round, attempt int) (Load, bool) {
	data, err := regular.Read(file, maxLoad)
	l := Load{Round: round, Attempt: attempt}
	if err != nil || json.Unmarshal(data, &l.Summary) != nil {
		return Load{}, false
	}
	return l, true
}

func appendLoad(all []Load, file string, round, attempt int) []Load {
	if l, ok := ReadLoad(file, round, attempt); ok {
		return append(all, l)
	}
	return all
}
