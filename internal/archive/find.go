package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Find gives the run that a name means: a path of a run, a run id, or a
// beginning of one that only one run has; "latest" is the newest sealed one.
func Find(root, name string) (Entry, error) {
	if e, ok := entryAt(name); ok {
		return e, nil
	}
	all, err := List(root)
	if err != nil {
		return Entry{}, err
	}
	found := named(all, name)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Entry{}, fmt.Errorf("%d runs in %s begin with %q: give more of the id", len(found), root, name)
	case strings.ContainsRune(name, filepath.Separator):
		return Entry{}, fmt.Errorf("%s is no run", name)
	case len(all) == 0:
		return Entry{}, fmt.Errorf("there are no runs in %s", root)
	}
	return Entry{}, fmt.Errorf("no run %q in %s", name, root)
}

func named(all []Entry, name string) []Entry {
	var found []Entry
	for _, e := range all {
		switch {
		case name == "":
		case name == "latest" && !e.Partial:
			found = []Entry{e}
		case strings.HasPrefix(e.RunID, name):
			found = append(found, e)
		}
	}
	return found
}

func entryAt(path string) (Entry, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return Entry{}, false
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Entry{}, false
	}
	return entryOf(abs, info.IsDir())
}
