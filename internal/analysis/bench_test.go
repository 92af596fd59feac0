package analysis

import "testing"

// BenchmarkOf is the analysis alone, without the reading.
func BenchmarkOf(b *testing.B) {
	for _, name := range []string{"hta/diff-control", "tracelens/sglang-mixed", "sglang-cpu/0523-tp2-num5/1795569991.4135091-TP-0.trace"} {
		c := columns(b, shared(b, name+".json.gz"))
		spans := 0
		for _, l := range c.Lanes {
			spans += l.Len()
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				of(c)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spans), "ns/span")
		})
	}
}
