package steps

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"profjob/internal/engine"
	"profjob/internal/event"
	"profjob/internal/hostfs"
)

func TestPreflight(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*host, *Target)
		need    int64
		exit    int
		text    string
		warning string
	}{
		{"well", func(*host, *Target) {}, 1, 0, "", ""},
		{"disk full", func(*host, *Target) {}, 1 << 60, ExitIncomplete, "free, limits.min_free_disk asks for 1.0 EiB", ""},
		{"traces' disk full", func(h *host, target *Target) {
			files, dir := h.Files, target.TraceDir
			h.Files = func(d string) hostfs.FS {
				if d == dir {
					return fakeFS{free: func() (int64, error) { return 5 << 20, nil }}
				}
				return files(d)
			}
		}, 6 << 20, ExitIncomplete, "has 5.0 MiB free, limits.min_free_disk asks for 6.0 MiB", ""},
		{"no directory yet", func(_ *host, target *Target) { target.TraceDir = filepath.Join(target.TraceDir, "a", "b") }, 1, 0, "", "does not exist yet"},
		{"no directory yet, disk full", func(h *host, target *Target) {
			parent := target.TraceDir
			target.TraceDir = filepath.Join(parent, "a")
			files := h.Files
			h.Files = func(d string) hostfs.FS {
				if d == parent {
					return fakeFS{free: func() (int64, error) { return 0, nil }}
				}
				return files(d)
			}
		}, 1, ExitIncomplete, "has 0 B free", "does not exist yet"},
		{"a file", func(_ *host, target *Target) {
			target.TraceDir = filepath.Join(target.TraceDir, "file")
			_ = os.WriteFile(target.TraceDir, nil, 0o600)
		}, 1, ExitIncomplete, "not a directory", ""},
		{"not readable", func(h *host, target *Target) {
			files, dir := h.Files, target.TraceDir
			h.Files = func(d string) hostfs.FS {
				if d == dir {
					return fakeFS{list: func() ([]hostfs.File, error) { return nil, fs.ErrPermission }}
				}
				return files(d)
			}
		}, 1, ExitIncomplete, "trace_dir: permission denied", ""},
		{"a host that does not tell", func(h *host, _ *Target) {
			h.Files = func(string) hostfs.FS {
				return fakeFS{free: func() (int64, error) { return 0, errors.ErrUnsupported }}
			}
		}, 1 << 60, 0, "", ""},
		{"the archive in it", func(h *host, target *Target) { target.TraceDir = filepath.Dir(h.Dir.Root) }, 1, ExitIncomplete, "lies inside of trace_dir", ""},
		{"the archive itself", func(h *host, target *Target) { target.TraceDir = h.Dir.Root }, 1, ExitIncomplete, "lies inside of trace_dir", ""},
		{"the run itself", func(h *host, target *Target) { target.TraceDir = h.Dir.Path() }, 1, ExitIncomplete, "lies inside of trace_dir", ""},
		{"in the job's folder", func(h *host, target *Target) { target.TraceDir = filepath.Join(h.Dir.Root, "job", "traces") }, 1, ExitIncomplete, "where the runs of this job are archived", ""},
		{"in the run", func(h *host, target *Target) { target.TraceDir = h.Dir.Join("rounds") }, 1, ExitIncomplete, "where the runs of this job are archived", ""},
		{"by a link", func(h *host, target *Target) {
			link := filepath.Join(target.TraceDir, "link")
			_ = os.Symlink(h.Dir.Root, link)
			target.TraceDir = filepath.Join(link, "job", "not", "yet")
		}, 1, ExitIncomplete, "where the runs of this job are archived", ""},
		{"the archive by a link", func(h *host, target *Target) {
			_ = os.Symlink(h.Dir.Root, filepath.Join(target.TraceDir, "link"))
			h.Dir.Root = filepath.Join(target.TraceDir, "link") // leads out of it again
		}, 1, 0, "", ""},
		{"a name that begins alike", func(h *host, target *Target) {
			target.TraceDir = h.Dir.Root + "-traces"
			_ = os.Mkdir(target.TraceDir, 0o700)
		}, 1, 0, "", ""},
		{"beside the job's folder", func(h *host, target *Target) {
			target.TraceDir = filepath.Join(h.Dir.Root, "another")
			_ = os.Mkdir(target.TraceDir, 0o700)
		}, 1, 0, "", ""},
		{"scratch", func(h *host, target *Target) {
			target.TraceDir, _ = h.Dir.MkdirAll("scratch", "server", "traces")
		}, 1, 0, "", ""},
		{"nobody says where", func(_ *host, target *Target) { target.TraceDir = "" }, 1, ExitServer, "set trace_dir in the target", ""},
		{"the server says where", func(h *host, target *Target) {
			h.State.Put(event.Place{}, ProbeResult{Endpoints: []Probed{{Target: "server", Info: engine.Info{TraceDir: target.TraceDir}}}})
			target.TraceDir = ""
		}, 1, 0, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			target := h.serve("a")
			c.change(h, &target)
			result, err := h.do(t.Context(), &Preflight{Header: Header{Name: "preflight"}, Targets: []Target{target}, MinFreeDisk: c.need})
			failed(t, err, c.exit, c.text)
			if c.exit != 0 && !failureIn(err).Final {
				t.Error("another attempt would be made")
			}
			if r, ok := result.(PreflightResult); c.exit == 0 && (!ok || r.ArchiveFree <= 0 || r.TraceFree["server"] <= 0 || r.Summary() == "") {
				t.Errorf("got %+v", result)
			}
			if hasWarning(h, c.warning) != (c.warning != "") && c.warning != "" || c.warning == "" && len(h.Warnings()) > 0 {
				t.Errorf("warnings %q", h.Warnings())
			}
		})
	}
}
