package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// TestNotAFile: what stands in a trace's place is refused at once.
func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{fifo, dir, "/dev/zero"} {
		if _, err := Scan(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("scan %s: %v", path, err)
		}
		if err := Complete(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("complete %s: %v", path, err)
		}
	}
}

// compressed makes a file of what write gives.
func compressed(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hostile.json.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(z), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// bomb is a small compressed file of a repeated text.
func bomb(t *testing.T, begin, text string, times int) string {
	t.Helper()
	block := bytes.Repeat([]byte(text), 1<<20/len(text))
	return compressed(t, func(w io.Writer) error {
		_, err := io.WriteString(w, begin)
		for i := 0; i < times && err == nil; i++ {
			_, err = w.Write(block)
		}
		return err
	})
}

// TestBombs: a megabyte that holds a gigabyte ends in a message that names the limit.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("unpacks gigabytes")
	}
	for name, c := range map[string]struct{ begin, text, want string }{
		"white space":    {`{"traceEvents": [`, " ", "more than 500 times its size"},
		"events":         {`[{}`, ",{}", "more than 500 times its size"},
		"one string":     {`[{"name":"`, "a", "size of one event"},
		"one key":        {`{"`, "a", "size of one top-level value"},
		"brackets":       {`[{"args":`, "[", "nesting of one event"},
		"embedding dims": {`[{"ph":"X","cat":"cpu_op","name":"aten::embedding","args":{"Input Dims":[[1,1],[`, "1,", "size of one event"},
	} {
		t.Run(name, func(t *testing.T) {
			path := bomb(t, c.begin, c.text, 1200)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Scan(t.Context(), path)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 600<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
		})
	}
}

// TestReadingEnds: a reader that finds no event for gigabytes still has a context.
func TestReadingEnds(t *testing.T) {
	path := bomb(t, `{"traceEvents": [`, " ", 400)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := Scan(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestNames: what Scan remembers of a file's texts is bounded in bytes.
func TestNames(t *testing.T) {
	if testing.Short() {
		t.Skip("writes hundreds of megabytes")
	}
	filler := strings.Repeat("operator_", 1<<17)
	path := compressed(t, func(w io.Writer) error {
		_, err := io.WriteString(w, "[{}")
		for i := 0; i < 300 && err == nil; i++ {
			_, err = fmt.Fprintf(w, `,{"ph":"X","cat":"cpu_op","ts":%d,"dur":1,"pid":1,"tid":1,"name":"%d%s"}`, i, i, filler)
		}
		return err
	})
	if _, err := Scan(t.Context(), path); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "bytes of names") {
		t.Errorf("got %v", err)
	}
}

// TestTimes: times that no clock has are no trace, and those that are far apart no
// reason to panic.
func TestTimes(t *testing.T) {
	event := func(ts, dur, name string) string {
		return `{"ph":"X","cat":"cpu_op","pid":1,"tid":1,"ts":` + ts + `,"dur":` + dur + `,"name":"` + name + `"}`
	}
	pass := func(ts string) string { return event(ts, "10", "aten::embedding") }
	for name, c := range map[string]struct {
		events []string
		fails  bool
	}{
		"overflow":        {[]string{event("9223372036854775", "1", "a")}, true},
		"negative":        {[]string{event("-9223372036854775", "1", "a")}, true},
		"long":            {[]string{event("1", "9223372036854775", "a")}, true},
		"huge":            {[]string{event("1e300", "1", "a")}, true},
		"not a number":    {[]string{event("NaN", "1", "a")}, true},
		"words":           {[]string{event(`"x"`, "1", "a")}, true},
		"ends before":     {[]string{pass("10"), event("20", "-100", "b"), event("30", "-100", "b"), pass("40"), event("50", "-5", "b"), pass("60")}, false},
		"far apart":       {[]string{pass("0"), event("20", "1", "a"), pass("1700000000000000"), event("1700000000000020", "1", "a"), pass("2200000000000000")}, false},
		"at the very end": {[]string{pass("-2200000000000000"), event("-2200000000000000", "2200000000000000", "python"), pass("2200000000000000")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "t.json", []byte(`{"baseTimeNanoseconds": 1700000000000000000, "traceEvents": [`+strings.Join(c.events, ",\n")+"]}"))
			s, err := Scan(t.Context(), path)
			if (err != nil) != c.fails {
				t.Fatalf("got %v", err)
			}
			if err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("got %v", err)
			}
			if err == nil && len(s.Passes) == 0 {
				t.Error("no pass was found")
			}
		})
	}
}

// FuzzScan makes traces of bytes, four an event, and reads, cuts and reads them again.
func FuzzScan(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x01\x10\x02\x01\x01\x20\x00\x01\x01\x30\x02\x02\x01\x40\x00\x01\x01"))
	f.Add([]byte("\x00\x04\x05\x01\x02\x00\x01\x01\x10\x04\x05\x01\x12\x00\x01\x01"))
	names := []string{"aten::embedding", "aten::mm", "aten::argmax", "cudaGraphLaunch", "execute_context_1(8)_generation_0(0)",
		"execute_context_0(0)_generation_0(0)", "step[DECODE bs=1]", "ProfilerStep#3", "Forward", "Preprocess", "\\u001b[31m"}
	cats := []string{"cpu_op", "user_annotation", "cuda_runtime", "kernel", "python_function", "ac2g"}
	times := []string{"0", "-1", "2200000000000000", "-2200000000000000", "1e3", `"7.001"`, "null"}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b strings.Builder
		b.WriteString(`{"traceEvents": [{}`)
		for ; len(data) >= 4; data = data[4:] {
			ts, dur := fmt.Sprint(int(data[0])), fmt.Sprint(int(int8(data[2])))
			if i := int(data[3]) >> 4; i < len(times) && data[3]&8 != 0 {
				ts = times[i]
			} else if i < len(times) && data[3]&4 != 0 {
				dur = times[i]
			}
			name, cat := names[int(data[1])%len(names)], cats[int(data[1])/len(names)%len(cats)]
			if strings.HasPrefix(name, "execute") || data[1] > 200 {
				cat = "user_annotation"
			}
			fmt.Fprintf(&b, ",\n"+`{"ph":"%c","cat":"%s","name":"%s","pid":1,"tid":%d,"ts":%s,"dur":%s,"id":%d,"args":{"correlation":%d,"External id":%d,"Input Dims":[[9,9],[%d]]}}`,
				"XXXXXXsfM"[int(data[3])%9], cat, name, data[3]&3, ts, dur, data[0], data[0], data[0], data[2])
		}
		b.WriteString("]}")
		path := write(t, "t.json", []byte(b.String()))
		s, err := Scan(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(s.Passes); i++ {
			if s.Passes[i].Start < s.Passes[i-1].Start {
				t.Errorf("pass %d starts before the one before it (%s): %+v\n%s", i, s.Evidence, s.Passes, b.String())
			}
		}
		if len(s.Passes) == 0 {
			return
		}
		cut := cutOf(s.Passes, 0, len(s.Passes)-1)
		if _, err := Trim(t.Context(), path, path+".trimmed", cut); err != nil {
			if !strings.Contains(err.Error(), "window ends") {
				t.Error(err)
			}
			return
		}
		if _, err := Scan(t.Context(), path+".trimmed"); err != nil {
			t.Errorf("what was cut cannot be read: %v", err)
		}
	})
}
