package trace

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// benchmarked are files of three kinds: frames, operators, an accelerator's.
var benchmarked = []string{"vllm-cpu/v0.32.0-max6-all-options", "vllm-cpu/v0.32.0-manual-detailed", "hta/diff-control",
	"tracelens/vllm-mixed-piecewise-graph", "tracelens/sglang-mixed"}

// BenchmarkRead reads events only, of a file as it is and of its plain content.
func BenchmarkRead(b *testing.B) {
	for _, name := range benchmarked {
		compressed := shared(b, name+".json.gz")
		data := content(b, compressed)
		plain := filepath.Join(b.TempDir(), "plain.json")
		if err := os.WriteFile(plain, data, 0o600); err != nil {
			b.Fatal(err)
		}
		for _, f := range []struct{ kind, path string }{{"json", plain}, {"gzip", compressed}} {
			b.Run(filepath.Base(name)+"/"+f.kind, func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				before := cpuTime()
				for b.Loop() {
					readEvents(b, f.path)
				}
				reportCPU(b, before, len(data))
			})
		}
	}
}

func readEvents(b *testing.B, path string) {
	r, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for err == nil {
		_, err = r.Next()
	}
	if err != io.EOF {
		b.Fatal(err)
	}
}

// reportCPU gives the rate by the process's own time: that of the wall says
// little on a machine that does other things, too.
func reportCPU(b *testing.B, before time.Duration, size int) {
	used := cpuTime() - before
	b.ReportMetric(float64(size)*float64(b.N)/1e6/used.Seconds(), "MB/cpu-s")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScan reads a file of plain JSON, so that the rate is that of the
// scan alone, and the same compressed.
func BenchmarkScan(b *testing.B) {
	for _, name := range benchmarked {
		compressed := shared(b, name+".json.gz")
		data := content(b, compressed)
		plain := filepath.Join(b.TempDir(), "plain.json")
		if err := os.WriteFile(plain, data, 0o600); err != nil {
			b.Fatal(err)
		}
		for _, f := range []struct{ kind, path string }{{"json", plain}, {"gzip", compressed}} {
			b.Run(filepath.Base(name)+"/"+f.kind, func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				before := cpuTime()
				for b.Loop() {
					if _, err := Scan(b.Context(), f.path); err != nil {
						b.Fatal(err)
					}
				}
				reportCPU(b, before, len(data))
			})
		}
		b.Run(filepath.Base(name)+"/complete", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := Complete(b.Context(), compressed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
