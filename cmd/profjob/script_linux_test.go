package main

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdFill writes a file of so many bytes: fill N FILE
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "fill N FILE")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	block := make([]byte, n)
	for i := range block {
		block[i] = '#'
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), block, 0o600))
}

// cmdLatin1 writes a job file in an encoding that is not UTF-8: latin1 FILE
func cmdLatin1(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 1, "latin1 FILE")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("target \"embedded\" \"server\" {}\n# gr\xf6\xdfer\n"), 0o600))
}

// cmdTmpfs mounts a disk of so many bytes: tmpfs SIZE DIR
func cmdTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2, "tmpfs SIZE DIR")
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[0]))
	ts.Defer(func() { ts.Check(unix.Unmount(dir, unix.MNT_DETACH)) })
}

// canMount tells whether this user may mount a disk.
var canMount = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "profjob-tmpfs")
	if err != nil {
		return false
	}
	defer os.Remove(dir)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return false
	}
	return unix.Unmount(dir, 0) == nil
})

// startWeak starts a program that is not above the modes of files, as the
// superuser is: a child has the capabilities that its thread may have.
func startWeak(cmd *exec.Cmd) error {
	if os.Geteuid() != 0 {
		return cmd.Start()
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		for _, c := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				started <- err
				return
			}
		}
		started <- cmd.Start()
	}()
	return <-started
}
