package trace

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
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

// BenchmarkTrim cuts a tenth of the steps out of a file of 140 MB, and gives its
// time beside that of gzip -dc | gzip -1 of the same file.
func BenchmarkTrim(b *testing.B) {
	for _, test := range []struct {
		name  string
		times int
	}{{"hta/diff-control", 4}, {"vllm-cpu/v0.32.0-manual-detailed", 28}} {
		b.Run(filepath.Base(test.name), func(b *testing.B) {
			path, size := repeated(b, shared(b, test.name+".json.gz"), test.times)
			s, err := Scan(b.Context(), path)
			if err != nil {
				b.Fatal(err)
			}
			n := len(s.Passes)
			cut := cutOf(s.Passes, n/2, n/2+max(n/10, 1)-1)
			peer := time.Now()
			if err := exec.CommandContext(b.Context(), "sh", "-c", "gzip -dc "+path+" | gzip -1 >/dev/null").Run(); err != nil {
				b.Fatal(err)
			}
			took := time.Since(peer)
			b.SetBytes(size)
			b.ReportAllocs()
			before, begun := cpuTime(), time.Now()
			for b.Loop() {
				if _, err := Trim(b.Context(), path, path+".trimmed.gz", cut); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(time.Since(begun).Seconds()/float64(b.N)/took.Seconds(), "of-gzip")
			reportCPU(b, before, int(size))
		})
	}
}

// repeated makes a file of a trace's events, time after time, each with ids of
// its own.
func repeated(b *testing.B, path string, times int) (string, int64) {
	b.Helper()
	s, err := Scan(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	apart := s.Last - s.First + 1e6
	repeated := filepath.Join(b.TempDir(), "repeated.json.gz")
	f, err := os.Create(repeated)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(z, 1<<20)
	var size int64
	for n := range times {
		size += repeat(b, w, path, n, apart)
	}
	w.WriteString("\n]}\n")
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return repeated, size
}

// repeat writes the events for the n-th time, the first time with the base.
func repeat(b *testing.B, w *bufio.Writer, path string, n int, apart int64) (size int64) {
	r, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for i := 0; ; i++ {
		e, err := r.Next()
		if err == io.EOF {
			return size
		}
		if err != nil {
			b.Fatal(err)
		}
		if i == 0 && n == 0 {
			fmt.Fprintf(w, `{"baseTimeNanoseconds": %d, "traceEvents": [`, r.Base())
		} else {
			w.WriteString(",\n  ")
		}
		raw := later(e, n, apart)
		size += int64(len(raw)) + 4
		w.Write(raw)
	}
}

func later(e *Event, n int, apart int64) []byte {
	var edits []edit
	if e.Timed {
		edits = append(edits, edit{e.ts, micros(e.TS+int64(n)*apart, false)})
	}
	for key, value := range e.AllArgs() {
		if id, ok := parseInt(value); ok && (string(key) == "correlation" || string(key) == "External id") {
			at := cap(e.Raw) - cap(value)
			edits = append(edits, edit{span{at, at + len(value)}, fmt.Sprint(id + int64(n)<<24)})
		}
	}
	if id, ok := parseInt(e.ID); ok {
		at := cap(e.Raw) - cap(e.ID)
		edits = append(edits, edit{span{at, at + len(e.ID)}, fmt.Sprint(id + int64(n)<<24)})
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.at.start - b.at.start })
	var line []byte
	done := 0
	for _, edit := range edits {
		line = append(append(line, e.Raw[done:edit.at.start]...), edit.text...)
		done = edit.at.end
	}
	return append(line, e.Raw[done:]...)
}
