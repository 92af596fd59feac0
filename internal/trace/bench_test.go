package trace

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkScan reads a file of plain JSON, so that the rate is that of the
// scan alone, and the same compressed.
func BenchmarkScan(b *testing.B) {
	for _, name := range []string{"vllm-cpu/v0.32.0-max6-all-options.json.gz", "vllm-cpu/v0.32.0-manual-detailed.json.gz", "hta/diff-control.json.gz"} {
		compressed := shared(b, name)
		data := content(b, compressed)
		plain := filepath.Join(b.TempDir(), "plain.json")
		if err := os.WriteFile(plain, data, 0o600); err != nil {
			b.Fatal(err)
		}
		for _, f := range []struct{ kind, path string }{{"json", plain}, {"gzip", compressed}} {
			b.Run(filepath.Base(filepath.Dir(name))+"/"+f.kind, func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Scan(b.Context(), f.path); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(filepath.Base(filepath.Dir(name))+"/complete", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := Complete(b.Context(), compressed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
