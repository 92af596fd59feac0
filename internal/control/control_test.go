package control

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(pid int, job string) Info {
	return Info{PID: pid, JobFile: "/jobs/nightly.hcl", Job: job, Targets: []string{"http://10.0.0.7:8000"}}
}

func listenFor(t *testing.T, dir string, info Info, stop func() string) *Server {
	t.Helper()
	s, err := Listen(dir, info, stop)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func find(t *testing.T, dir string) []Info {
	t.Helper()
	all, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// files lists what lies below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && path != dir && !(entry.IsDir() && entry.Name() == "runs") {
			all = append(all, entry.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if got := find(t, dir); len(got) != 0 {
		t.Errorf("without a state directory there are runs: %v", got)
	}
	asked := map[string]*atomic.Int32{"night": {}, "day": {}}
	answer := func(job string) func() string {
		return func() string { asked[job].Add(1); return "ending " + job }
	}
	night := listenFor(t, dir, run(12, "night"), answer("night"))
	day := listenFor(t, dir, run(3, "day"), answer("day"))

	got := find(t, dir)
	want := []Info{run(3, "day"), run(12, "night")}
	for i := range got {
		if !filepath.IsAbs(got[i].Socket) {
			t.Errorf("the socket %q is not absolute", got[i].Socket)
		}
		want[i].Socket = got[i].Socket
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("found, -want +got:\n%s", diff)
	}
	text, err := Stop(context.Background(), got[1])
	if err != nil {
		t.Fatal(err)
	}
	if text != "ending night" || asked["night"].Load() != 1 || asked["day"].Load() != 0 {
		t.Errorf("the answer is %q; night was asked %d times, day %d", text, asked["night"].Load(), asked["day"].Load())
	}

	if err := night.Close(); err != nil {
		t.Error(err)
	}
	if left := find(t, dir); len(left) != 1 || left[0].Job != "day" {
		t.Errorf("after night's end there are %v, want day", left)
	}
	if _, err := Stop(context.Background(), got[1]); err == nil || !strings.Contains(err.Error(), "ask the run of night (process 12)") {
		t.Errorf("a run that has ended: error %v, want one that names it", err)
	}
	if err := day.Close(); err != nil {
		t.Error(err)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOnlyTheUserMayAsk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := listenFor(t, dir, run(1, "job"), func() string { return "" })
	defer s.Close()
	for _, path := range []string{runsDir(dir), s.info, s.socket} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

// An answer that is on its way when the run ends still arrives.
func TestCloseWaitsForTheAnswer(t *testing.T) {
	dir := t.TempDir()
	asked, closing := make(chan struct{}), make(chan struct{})
	s := listenFor(t, dir, run(1, "job"), func() string { close(asked); <-closing; return "ending" })
	var wg sync.WaitGroup
	wg.Go(func() {
		if answer, err := Stop(context.Background(), find(t, dir)[0]); err != nil || answer != "ending" {
			t.Errorf("answer %q, error %v", answer, err)
		}
	})
	<-asked
	wg.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	close(closing)
	wg.Wait()
}

// Somebody who connects and says nothing does not keep a run from ending.
func TestCloseDoesNotWaitForSilence(t *testing.T) {
	s := listenFor(t, t.TempDir(), run(1, "job"), func() string { return "" })
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStopHasAContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	release := make(chan struct{})
	s := listenFor(t, dir, run(1, "job"), func() string { cancel(); <-release; return "" })
	if _, err := Stop(ctx, find(t, dir)[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	close(release)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStopOfAnotherServer(t *testing.T) {
	s := listenFor(t, t.TempDir(), run(1, "job"), func() string { return "" })
	defer s.Close()
	s.http.Handler = nil // no stop there
	if _, err := Stop(context.Background(), Info{Job: "job", Socket: s.socket}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v, want one with the server's answer", err)
	}
}

// deadSocket leaves a socket behind as a run does that is killed.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatDiedIsForgotten(t *testing.T) {
	short := shortDir(t)
	for _, c := range []struct {
		name  string
		leave func(t *testing.T, runs string) string // makes the socket and gives the description
	}{
		{"socket that refuses", func(t *testing.T, runs string) string {
			deadSocket(t, filepath.Join(runs, "1-2.sock"))
			return `{"pid":1,"job":"a","socket":"` + filepath.Join(runs, "1-2.sock") + `"}`
		}},
		{"no socket", func(t *testing.T, runs string) string { return `{"pid":1,"job":"a","socket":"/nowhere/1.sock"}` }},
		{"half a description", func(*testing.T, string) string { return `{"pid":1,"jo` }},
		{"empty description", func(*testing.T, string) string { return `` }},
		{"no socket named", func(*testing.T, string) string { return `{"pid":1,"job":"a"}` }},
		{"relative socket", func(*testing.T, string) string { return `{"pid":1,"job":"a","socket":"1.sock"}` }},
		{"description too large", func(*testing.T, string) string { return `{"job":"` + strings.Repeat("a", maxInfo) + `"}` }},
		{"socket in a folder of its own", func(t *testing.T, runs string) string {
			folder := filepath.Join(short, "profjob-123")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			deadSocket(t, filepath.Join(folder, "run.sock"))
			return `{"pid":1,"job":"a","socket":"` + filepath.Join(folder, "run.sock") + `"}`
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := shortDir(t)
			if err := os.MkdirAll(runsDir(dir), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(runsDir(dir), "1-2.json"), []byte(c.leave(t, runsDir(dir))), 0o600); err != nil {
				t.Fatal(err)
			}
			alive := listenFor(t, dir, run(9, "alive"), func() string { return "" })
			if got := find(t, dir); len(got) != 1 || got[0].Job != "alive" {
				t.Errorf("found %v, want only the one that lives", got)
			}
			if err := alive.Close(); err != nil {
				t.Error(err)
			}
			if left := append(files(t, dir), files(t, short)...); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A description may name any path as its socket: what is no socket stays.
func TestForgettingRemovesOnlySockets(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(t.TempDir(), "profjob-notes", "precious")
	if err := errors.Join(os.MkdirAll(runsDir(dir), 0o700), os.Mkdir(filepath.Dir(precious), 0o700), os.WriteFile(precious, nil, 0o600),
		os.WriteFile(filepath.Join(runsDir(dir), "1-2.json"), []byte(`{"socket":"`+precious+`"}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := find(t, dir); len(got) != 0 {
		t.Errorf("found %v", got)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("a file that is no socket was removed: %v", err)
	}
}

// shortDir gives a directory whose path is short enough for a socket, whatever
// the test is called.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestLongStateDirectory(t *testing.T) {
	short := shortDir(t)
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	t.Setenv("TMPDIR", short)
	s := listenFor(t, dir, run(1, "job"), func() string { return "ending" })
	got := find(t, dir)
	if len(got) != 1 {
		t.Fatalf("found %v, want one", got)
	}
	if !strings.HasPrefix(got[0].Socket, short) || len(got[0].Socket) > longestSocket {
		t.Errorf("the socket is %s, want a short path below %s", got[0].Socket, short)
	}
	if info, err := os.Stat(filepath.Dir(got[0].Socket)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the socket: %v, %v, want mode 0700", info.Mode(), err)
	}
	if answer, err := Stop(context.Background(), got[0]); err != nil || answer != "ending" {
		t.Errorf("answer %q, error %v", answer, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := append(files(t, short), files(t, runsDir(dir))...); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBind(t *testing.T) {
	short := shortDir(t)
	name := func(length int) string {
		return filepath.Join(short, strings.Repeat("s", length-len(short)-1))
	}
	long := "/" + strings.Repeat("l", longestSocket)
	for _, c := range []struct {
		name      string
		path      string
		temporary []string
		want      string // the folder of the socket; empty: an error
	}{
		{"as long as may be", name(longestSocket), nil, short},
		{"too long", name(longestSocket + 1), []string{short}, filepath.Join(short, socketFolder)},
		{"too long, and so is the first", name(longestSocket + 1), []string{long, short}, filepath.Join(short, socketFolder)},
		{"all too long", name(longestSocket + 1), []string{long}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, path, err := bind(c.path, c.temporary...)
			if c.want == "" {
				if err == nil {
					t.Fatalf("it listens at %s", path)
				}
				for _, part := range []string{"103 bytes", c.path, "has 104", long, "PROFJOB_STATE_DIR or TMPDIR"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("error %q, want %q in it", err, part)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(path, c.want) {
				t.Errorf("it listens at %s, want below %s", path, c.want)
			}
			if err := errors.Join(l.Close(), removeSocket(path)); err != nil {
				t.Error(err)
			}
		})
	}
	if left := files(t, short); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestListenFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, run(1, "job"), nil); err == nil || !strings.Contains(err.Error(), "control socket: ") {
		t.Errorf("error %v, want one that says what for", err)
	}
	if _, err := Find(filepath.Join(file, "below")); err == nil || !strings.Contains(err.Error(), "find runs: ") {
		t.Errorf("error %v, want one that says what for", err)
	}
}

// Runs begin and end while somebody looks.
func TestFindWhileRunsComeAndGo(t *testing.T) {
	dir := t.TempDir()
	steady := listenFor(t, dir, run(1, "steady"), func() string { return "" })
	defer steady.Close()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 25 {
				s, err := Listen(dir, run(100+i, "passing"), func() string { return "" })
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		if all := find(t, dir); !slices.ContainsFunc(all, func(i Info) bool { return i.Job == "steady" }) {
			t.Fatalf("found %v: the steady run is missing", all)
		}
	}
	wg.Wait()
}

func TestStateDir(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"own", map[string]string{"PROFJOB_STATE_DIR": "/a", "XDG_STATE_HOME": "/b", "HOME": "/c"}, "/a"},
		{"own, relative", map[string]string{"PROFJOB_STATE_DIR": "a"}, filepath.Join(wd, "a")},
		{"XDG", map[string]string{"XDG_STATE_HOME": "/b", "HOME": "/c"}, "/b/profjob"},
		{"XDG, relative", map[string]string{"XDG_STATE_HOME": "b", "HOME": "/c"}, "/c/.local/state/profjob"},
		{"home", map[string]string{"HOME": "/c"}, "/c/.local/state/profjob"},
		{"none", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := StateDir(func(key string) string { return c.env[key] })
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"pid":1,"job_file":"/j.hcl","job":"a","targets":["http://h:1"],"socket":"/s.sock"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := parse(data)
		if err == nil && !filepath.IsAbs(info.Socket) {
			t.Errorf("accepted, with the socket %q", info.Socket)
		}
		if err != nil && !errors.Is(err, errNoInfo) {
			t.Errorf("error %v does not say that it is no description", err)
		}
	})
}
