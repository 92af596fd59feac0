package analysis

import "slices"

// spread sorts the values and says how they lie. Percentiles are by nearest rank: each
// is one of the values.
func spread(values []int64) Spread {
	n := len(values)
	if n == 0 {
		return Spread{}
	}
	slices.Sort(values)
	s := Spread{Count: n, Min: values[0], Max: values[n-1],
		P50: nearestRank(values, 50), P90: nearestRank(values, 90), P99: nearestRank(values, 99)}
	for _, v := range values {
		s.Sum += v
	}
	return s
}

func nearestRank(sorted []int64, percent int) int64 {
	return sorted[max(len(sorted)*percent+99, 100)/100-1]
}
