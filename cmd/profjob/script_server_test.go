package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdEngine starts an embedded engine at a free port and waits until it serves:
// engine NAME FLAGS… Its address is in the variable NAME from then on.
func cmdEngine(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) >= 1, "engine NAME FLAGS…")
	name := args[0]
	file := ts.MkAbs(name + ".address")
	ts.Check(os.RemoveAll(file))
	flags := []string{"engine", "--listen", "127.0.0.1:0", "--address-file", file, "--end-with-stdin"}
	p := startProcess(ts, startWithStdin, name, "profjob", append(flags, args[1:]...)...)
	var address []byte
	ready := poll(func() bool {
		var err error
		address, err = os.ReadFile(file)
		select {
		case <-p.exited:
			ts.Fatalf("the engine has ended:\n%s", outputOf(ts, name))
		default:
		}
		return err == nil
	})
	if !ready {
		ts.Fatalf("the engine does not serve within %s:\n%s", patience, outputOf(ts, name))
	}
	ts.Setenv(name, "http://"+strings.TrimSpace(string(address)))
}

// startWithStdin starts a program with a standard input that lasts as long as this
// process: an engine does not outlive a test that is killed.
func startWithStdin(cmd *exec.Cmd) error {
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	return cmd.Start()
}

// cmdStranger starts a server that is no LLM server: stranger NAME html|json|empty|mute
func cmdStranger(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "stranger NAME html|json|empty|mute")
	handlers := map[string]http.HandlerFunc{
		"html": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", "plain/1.0")
			_, _ = io.WriteString(w, "<html><body>It works!</body></html>")
		},
		"json": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"version": ["not", "a", "version"]}`)
		},
		"empty": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"mute": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		},
	}
	handler, ok := handlers[args[1]]
	usageOf(ts, neg, false, ok, "stranger NAME html|json|empty|mute")
	server := httptest.NewServer(handler)
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// cmdFreePort gives an address where nobody listens: freeport NAME
func cmdFreePort(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 1, "freeport NAME")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], l.Addr().String())
}

// cmdPort takes the port out of an address: port NAME ADDRESS
func cmdPort(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "port NAME ADDRESS")
	_, port, err := net.SplitHostPort(args[1])
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// cmdHTTP asks a server and checks the status: http METHOD URL STATUS
func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 3, "http METHOD URL STATUS")
	status, body, err := ask(args[0], args[1])
	ts.Check(err)
	if strconv.Itoa(status) != args[2] {
		ts.Fatalf("%s %s: status %d, want %s: %s", args[0], args[1], status, args[2], body)
	}
}

// cmdGone checks that nobody listens at an address any more: gone URL
func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 1, "gone URL")
	if status, _, err := ask(http.MethodGet, args[0]); err == nil {
		ts.Fatalf("%s still answers (status %d)", args[0], status)
	}
}

func ask(method, url string) (status int, body string, err error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return 0, "", err
	}
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	const most = 1 << 20
	data, err := io.ReadAll(io.LimitReader(resp.Body, most))
	return resp.StatusCode, string(data), err
}

// cmdTraffic sends requests to a server, one after the other, until the script
// ends: traffic URL
func cmdTraffic(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 1, "traffic URL")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			completion(ctx, args[0])
		}
	}()
	ts.Defer(func() {
		cancel()
		<-done
	})
}

// completion asks for one; a server that fails shows in what the script checks.
func completion(ctx context.Context, url string) {
	body := strings.NewReader(`{"model": "tiny", "prompt": "Tell me a story.", "max_tokens": 64}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/completions", body)
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}

// cmdIdle checks that the profiler of an embedded engine of vLLM 0.32 is off: a
// start of one that is on is a conflict there. It is off afterwards: idle URL…
func cmdIdle(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) > 0, "idle URL…")
	for _, url := range args {
		for _, route := range []string{"/start_profile", "/stop_profile"} {
			status, body, err := ask(http.MethodPost, url+route)
			ts.Check(err)
			if status != http.StatusOK {
				ts.Fatalf("%s%s: status %d: %s", url, route, status, body)
			}
		}
	}
}

// cmdTraces counts the traces of workers below a directory: traces N DIR
func cmdTraces(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "traces N DIR")
	var names []string
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".pt.trace.json") && !strings.Contains(d.Name(), ".async_llm.") {
			names = append(names, path)
		}
		return err
	}))
	if fmt.Sprint(len(names)) != args[0] {
		ts.Fatalf("%d traces of workers in %s, want %s: %s", len(names), args[1], args[0], strings.Join(names, " "))
	}
}
