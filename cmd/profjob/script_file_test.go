package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdFill writes a file of so many bytes: fill N FILE
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "fill N FILE")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), bytes.Repeat([]byte("#"), n), 0o600))
}

// cmdLatin1 writes a job file in an encoding that is not UTF-8: latin1 FILE
func cmdLatin1(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 1, "latin1 FILE")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("target \"embedded\" \"server\" {}\n# gr\xf6\xdfer\n"), 0o600))
}

// cmdTmpfs mounts a disk of a size such as 64k: tmpfs SIZE DIR
func cmdTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "tmpfs SIZE DIR")
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o700))
	unmount, err := mount(args[0], dir)
	ts.Check(err)
	ts.Defer(func() { ts.Check(unmount()) })
}

// cmdGlob puts the only path of a pattern into a variable: glob NAME PATTERN
func cmdGlob(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "glob NAME PATTERN")
	names, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(names) != 1 {
		ts.Fatalf("%s is %d paths: %v", args[1], len(names), names)
	}
	ts.Setenv(args[0], names[0])
}

// cmdMatch puts what the first group of a pattern matches in a file into a variable:
// match NAME REGEXP FILE
func cmdMatch(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 3, "match NAME REGEXP FILE")
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile(args[2]))
	if len(found) < 2 {
		ts.Fatalf("%s does not match %s:\n%s", args[2], args[1], ts.ReadFile(args[2]))
	}
	ts.Setenv(args[0], found[1])
}
