package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain makes the test binary the program, too: scripts call it as profjob,
// and where a run starts its own program it starts this one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "guard" {
		os.Exit(Main()) // of a run within a test: it must not run the tests, which would begin runs
	}
	testscript.Main(m, map[string]func(){"profjob": func() { os.Exit(Main()) }})
}

// TestScript runs testdata/script: the command line as its users have it, each
// script in a folder of its own.
func TestScript(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			// Nothing of the caller's shell reaches the scripts.
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("PROFJOB_STATE_DIR", filepath.Join(env.WorkDir, ".state"))
			env.Setenv("NO_COLOR", "1")
			env.Setenv("ROOT", root)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a program under the race detector waits a second before it ends
			env.Values[scriptKey{}] = &script{processes: map[string]*process{}, seen: map[string]bool{}}
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": cmdCode, "start": cmdStart, "signal": cmdSignal, "ended": cmdEnded, "until": cmdUntil,
			"engine": cmdEngine, "stranger": cmdStranger, "freeport": cmdFreePort, "http": cmdHTTP, "idle": cmdIdle,
			"sealed": cmdSealed, "json": cmdJSON, "leaks": cmdLeaks, "traces": cmdTraces, "fill": cmdFill, "tmpfs": cmdTmpfs,
			"order": cmdOrder, "latin1": cmdLatin1, "gone": cmdGone, "get": cmdGet, "jsonl": cmdJSONLines, "traffic": cmdTraffic, "port": cmdPort, "terminal": cmdTerminal, "secure": cmdSecure, "modes": cmdModes, "processes": cmdProcesses, "type": cmdType, "glob": cmdGlob, "match": cmdMatch,
		},
	})
}

// patience bounds every wait of a script: a test that waits for so long has
// failed, however slow the machine is.
const patience = time.Minute

// scriptKey is where a script keeps its own state.
type scriptKey struct{}

// script is the state of one script: its processes by name, and the runs that
// were looked at already.
type script struct {
	processes map[string]*process
	seen      map[string]bool
}

func scriptOf(ts *testscript.TestScript) *script {
	return ts.Value(scriptKey{}).(*script)
}

func condition(cond string) (bool, error) {
	switch cond {
	case "superuser":
		return os.Geteuid() == 0, nil
	case "tmpfs":
		return canMount(), nil
	case "linux":
		return runtime.GOOS == "linux", nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// usageOf ends a script that calls one of these commands wrongly.
func usageOf(ts *testscript.TestScript, neg, mayNeg bool, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
	if neg && !mayNeg {
		ts.Fatalf("! does not go with %s", strings.Fields(usage)[0])
	}
}
