// Package control lets one profjob ask another, running one to end its window.
// A run listens on a socket in the user's state directory; who wants it to end
// finds it there by its job file.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Info says which run listens.
type Info struct {
	PID     int      `json:"pid"`
	JobFile string   `json:"job_file"` // absolute
	Job     string   `json:"job"`      // address
	Targets []string `json:"targets"`  // endpoints, as far as the job file names them
	Socket  string   `json:"socket"`
}

// StateDir is where the user's runs are found: PROFJOB_STATE_DIR, else
// XDG_STATE_HOME/profjob, else ~/.local/state/profjob.
func StateDir(getenv func(string) string) (string, error) {
	if dir := getenv("PROFJOB_STATE_DIR"); dir != "" {
		return dir, nil
	}
	if dir := getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "profjob"), nil
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "profjob"), nil
	}
	return "", errors.New("no state directory: set PROFJOB_STATE_DIR or HOME")
}

// Server listens for one run. Close ends it.
type Server struct {
	info string // path of the description
	http *http.Server
	done chan struct{}
}

// requestTimeout bounds what a caller may take: it says one word.
const requestTimeout = 5 * time.Second

// Listen makes the run known below dir and calls stop for each wish to end its
// window; what stop returns is told to whoever asked.
func Listen(dir string, info Info, stop func() string) (*Server, error) {
	dir = filepath.Join(dir, "runs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	f, err := os.CreateTemp(dir, fmt.Sprintf("%d-*.json", info.PID))
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	info.Socket = strings.TrimSuffix(f.Name(), ".json") + ".sock"
	listener, err := net.Listen("unix", info.Socket)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", errors.Join(err, f.Close(), os.Remove(f.Name())))
	}
	if err := errors.Join(json.NewEncoder(f).Encode(info), f.Close()); err != nil {
		return nil, fmt.Errorf("control socket: %w", errors.Join(err, listener.Close(), os.Remove(f.Name())))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, stop()) })
	s := &Server{info: f.Name(), done: make(chan struct{}),
		http: &http.Server{Handler: mux, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout}}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // it ends with Close
	}()
	return s, nil
}

// Close ends the server and forgets the run.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return errors.Join(err, os.Remove(s.info))
}

// Find lists the runs that listen below dir. What a run that died left behind is removed.
func Find(dir string) ([]Info, error) {
	names, err := filepath.Glob(filepath.Join(dir, "runs", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("find runs: %w", err)
	}
	var all []Info
	for _, name := range names {
		info, err := read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return nil, fmt.Errorf("find runs: %w", err)
		}
		if !listens(info.Socket) {
			if err := forget(name, info.Socket); err != nil {
				return nil, fmt.Errorf("find runs: forget one that died: %w", err)
			}
			continue
		}
		all = append(all, info)
	}
	return all, nil
}

func read(name string) (Info, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return Info{}, err
	}
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		return Info{}, fmt.Errorf("%s: %w", name, err)
	}
	return info, nil
}

func listens(socket string) bool {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was opened only to see whether someone listens
	return true
}

func forget(names ...string) error {
	var errs []error
	for _, n := range names {
		if err := os.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Stop asks a run to end its window and gives its answer.
func Stop(ctx context.Context, info Info) (string, error) {
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", info.Socket)
		}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://profjob/stop", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask the run of %s (process %d): %w", info.Job, info.PID, err)
	}
	defer resp.Body.Close()
	const most = 4096
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	return string(text), err
}
