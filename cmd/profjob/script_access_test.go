package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"profjob/internal/access"
	"profjob/internal/access/accesstest"
)

// cmdSecure puts a front before a server that wants a client certificate, a token
// and a key: secure NAME URL TOKEN HEADER KEY [any]. With any, a certificate of any kind does. NAME is its https URL from then on; the
// files of the CA, of the client and of one that has expired are in the folder pki.
func cmdSecure(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 5 || len(args) == 6 && args[5] == "any", "secure NAME URL TOKEN HEADER KEY [any]")
	dir := ts.MkAbs("pki")
	ts.Check(os.MkdirAll(dir, 0o700))
	pki, err := accesstest.New(dir)
	ts.Check(err)
	ts.Check(pki.Client("expired", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)))
	front, err := pki.Front(args[1], access.Access{Bearer: args[2], Keys: []access.Key{{Header: args[3], Value: args[4]}}})
	ts.Check(err)
	if len(args) == 6 {
		front.TLS.ClientAuth = tls.RequireAnyClientCert
	}
	front.StartTLS()
	ts.Defer(front.Close)
	ts.Setenv(args[0], front.URL)
}

// cmdModes checks the modes of all files and folders below some, and their own:
// modes FILES FOLDERS PATH…
func cmdModes(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) >= 3, "modes FILES FOLDERS PATH…")
	for _, root := range args[2:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(root), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			want := args[0]
			if d.IsDir() {
				want = args[1]
			}
			if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != want {
				return fmt.Errorf("%s has the mode %s, want %s", path, got, want)
			}
			return nil
		}))
	}
}

// cmdProcesses looks for values in the command lines and environments of the script's
// processes of some commands of profjob, of each of which there must be one:
// [!] processes COMMAND,… VALUE…
func cmdProcesses(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, true, len(args) >= 2, "processes COMMAND,… VALUE…")
	names, err := filepath.Glob("/proc/[0-9]*")
	ts.Check(err)
	left, found := strings.Split(args[0], ","), []string{}
	wanted := slices.Clone(left)
	for _, dir := range names {
		// One that has just ended has neither.
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(dir, "environ"))
		words := strings.Split(string(command), "\x00")
		if filepath.Base(words[0]) != "profjob" || len(words) < 2 || !slices.Contains(wanted, words[1]) ||
			!bytes.Contains(environment, []byte(ts.MkAbs("."))) {
			continue
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == words[1] })
		for _, value := range args[1:] {
			if bytes.Contains(command, []byte(value)) || bytes.Contains(environment, []byte(value)) {
				found = append(found, words[1])
			}
		}
	}
	if len(left) > 0 {
		ts.Fatalf("there is no process of the commands %s", left)
	}
	if (len(found) > 0) == neg {
		ts.Fatalf("the values are in %d places: %s", len(found), found)
	}
}
