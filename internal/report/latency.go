package report

import (
	"profjob/internal/load"
	"profjob/internal/phrase"
)

func latencyOf(name string, d *load.Distribution) latencyRow {
	return latencyRow{name, phrase.Nanos(d.Mean), phrase.Nanos(d.P50), phrase.Nanos(d.P90), phrase.Nanos(d.P99), phrase.Nanos(d.Max)}
}
