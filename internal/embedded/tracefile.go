package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"

	"profjob/internal/embedded/kineto"
)

// traceFiles knows how each release names its files and writes them. Files
// grow in place under their last name, as torch's do, so a reader that looks
// too early sees part of one.
type traceFiles struct {
	config  Config
	process process
}

func newTraceFiles(c Config, p process) *traceFiles { return &traceFiles{config: c, process: p} }

// worker is the stem of the worker's files.
func (f *traceFiles) worker(prefix string) string {
	switch f.config.release() {
	case V011:
		return f.process.host + "_" + strconv.Itoa(f.process.pid)
	case V015:
		return strconv.FormatInt(f.process.launch.UnixNano(), 10) + "-rank-0"
	}
	return prefixed(prefix, "rank0")
}

// frontend is the stem of the frontend's files.
func (f *traceFiles) frontend(prefix string) string {
	return prefixed(prefix, f.process.host+"_"+strconv.Itoa(f.process.pid)+".async_llm")
}

func prefixed(prefix, stem string) string {
	if prefix == "" {
		return stem
	}
	return prefix + "_" + stem
}

// writeWorker writes the worker's trace and, from 0.12 on, its table of
// operators, which every recording overwrites.
func (f *traceFiles) writeWorker(t *kineto.Trace, prefix string) error {
	stem := f.worker(prefix)
	write := f.writeTrace
	if f.config.Faults.DieAtExport {
		write = f.writeHalf
	}
	if err := write(t, stem, f.title()); err != nil {
		return err
	}
	switch f.config.release() {
	case V015: // sorted by device time, of which there is none
		return f.writeTable(t, "profiler_out_0.txt", kineto.TableOptions{Limit: 100})
	case V032:
		return f.writeTable(t, stem+".profiler_out.txt", kineto.TableOptions{ByShape: true, BySelfTime: true, Limit: 50})
	}
	return nil
}

// title is that of the worker's process.
func (f *traceFiles) title() string {
	if f.config.release() == V032 {
		return "VLLM::Worker"
	}
	return "VLLM::EngineCore"
}

// meta is what torch itself says of the process in a trace.
func (f *traceFiles) meta(title string) kineto.Meta {
	m := kineto.Meta{PID: f.process.pid, Process: title}
	if f.config.release() == V032 {
		m.Layout, m.Host = kineto.Spread, f.process.host
	}
	return m
}

func (f *traceFiles) writeFrontend(t *kineto.Trace, prefix string) error {
	stem := f.frontend(prefix)
	if err := f.writeTrace(t, stem, "VLLM::APIServer"); err != nil {
		return err
	}
	if f.config.release() != V032 {
		return nil
	}
	return f.writeTable(t, stem+".profiler_out.txt", kineto.TableOptions{BySelfTime: true, Limit: 50})
}

func (f *traceFiles) writeTrace(t *kineto.Trace, stem, title string) error {
	if err := os.MkdirAll(f.config.TraceDir, 0o777); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	path := filepath.Join(f.config.TraceDir, fmt.Sprintf("%s.%d.pt.trace.json", stem, time.Now().UnixNano()))
	meta := f.meta(title)
	meta.Name = path
	if f.config.release() == V032 { // vLLM's own addition
		meta.Version = f.config.Dialect.Version()
	}
	if f.config.NoGzip {
		return writeFile(path, func(w io.Writer) error { return t.WriteJSON(w, meta) })
	}
	return writeFile(path+".gz", func(w io.Writer) error {
		z := gzip.NewWriter(w)
		return errors.Join(t.WriteJSON(z, meta), z.Close())
	})
}

// writeHalf is the fault of dying while a trace is written.
func (f *traceFiles) writeHalf(t *kineto.Trace, stem, title string) error {
	if err := f.writeTrace(t, stem, title); err != nil {
		return err
	}
	written, err := filepath.Glob(filepath.Join(f.config.TraceDir, stem+".*.pt.trace.json*"))
	if err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	newest := slices.Max(written) // their names end in the time
	info, err := os.Stat(newest)
	if err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return errors.Join(ErrDied, os.Truncate(newest, info.Size()/2))
}

func (f *traceFiles) writeTable(t *kineto.Trace, name string, o kineto.TableOptions) error {
	return writeFile(filepath.Join(f.config.TraceDir, name), func(w io.Writer) error { return t.WriteTable(w, o) })
}

func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o666)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
