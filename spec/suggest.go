package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// nearest is the candidate that somebody who wrote given may have meant, empty
// if none is near enough. The longer the name, the more of it may be wrong.
func nearest(given string, candidates []string) string {
	if len(given) > maxNameLength || len(candidates) > 1000 {
		return "" // nobody's typing error, or too much to compare with
	}
	limit := 3
	switch n := len(given); {
	case n < 5:
		limit = 1
	case n < 9:
		limit = 2
	}
	best := ""
	for _, candidate := range slices.Sorted(slices.Values(candidates)) {
		distance := levenshtein.Distance(strings.ToLower(given), strings.ToLower(candidate), nil)
		if distance <= limit {
			best, limit = candidate, distance-1
		}
	}
	if best == "" && len(given) >= 3 {
		for _, candidate := range slices.Sorted(slices.Values(candidates)) {
			if strings.HasPrefix(candidate, given) {
				return candidate
			}
		}
	}
	return best
}

// mostListed is how many names a sentence may list.
const mostListed = 12

// didYouMean is a sentence about the nearest candidate, with a space before it;
// without one, about what there is, if that is not too much to say.
func didYouMean(given string, candidates []string) (sentence, instead string) {
	if near := nearest(given, candidates); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near), near
	}
	if len(candidates) == 0 || len(candidates) > mostListed {
		return "", ""
	}
	return " There is: " + quotedList(candidates) + ".", ""
}

// quotedList is "a", "b", "c", sorted.
func quotedList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range slices.Sorted(slices.Values(names)) {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}
