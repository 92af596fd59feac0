package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"profjob/internal/archive"
)

// cmdSealed finds the one new run below ./runs and checks that it is sealed and
// whole, how it ended, and what its errors say: sealed NAME STATUS [REGEXP]
// NAME has its path from then on.
func cmdSealed(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 2 || len(args) == 3, "sealed NAME STATUS [REGEXP]")
	e := newRun(ts, "runs")
	ts.Setenv(args[0], e.Path)
	m := e.Manifest
	if string(m.Status) != args[1] {
		ts.Fatalf("%s: status %s, want %s: %s", e.Path, m.Status, args[1], strings.Join(m.Errors, "\n"))
	}
	if (m.Status == archive.StatusOK) != (len(m.Errors) == 0) {
		ts.Fatalf("%s: status %s with errors %q", e.Path, m.Status, m.Errors)
	}
	errs := strings.Join(m.Errors, "\n")
	if len(args) == 3 && !regexp.MustCompile(args[2]).MatchString(errs) {
		ts.Fatalf("%s: its errors do not match %s:\n%s", e.Path, args[2], errs)
	}
	checkFiles(ts, e.Path, m)
}

// newRun gives the one run of an archive that was not looked at yet.
func newRun(ts *testscript.TestScript, root string) archive.Entry {
	all, err := archive.List(ts.MkAbs(root))
	ts.Check(err)
	seen := scriptOf(ts).seen
	fresh := slices.DeleteFunc(all, func(e archive.Entry) bool { return seen[e.Path] })
	if len(fresh) != 1 {
		ts.Fatalf("%d new runs in %s, want 1", len(fresh), root)
	}
	e := fresh[0]
	seen[e.Path] = true
	if e.Partial {
		ts.Fatalf("%s is not sealed", e.Path)
	}
	ts.Check(e.Err)
	return e
}

// checkFiles compares the files of a run with its manifest, both ways.
func checkFiles(ts *testscript.TestScript, dir string, m *archive.Manifest) {
	if !strings.HasSuffix(dir, m.RunID) {
		return // it is packed
	}
	named := map[string]bool{"manifest.json": true}
	for _, f := range m.Files {
		sum, err := archive.HashFile(filepath.Join(dir, f.Path))
		ts.Check(err)
		if sum.SHA256 != f.SHA256 || sum.Size != f.Size {
			ts.Fatalf("%s is not what the manifest says", f.Path)
		}
		named[f.Path] = true
	}
	walk(ts, dir, func(path string) {
		rel, err := filepath.Rel(dir, path)
		ts.Check(err)
		if !named[rel] {
			ts.Fatalf("the manifest does not name %s", rel)
		}
	})
	for _, always := range []string{"plan.json", "journal.jsonl"} {
		if !named[always] {
			ts.Fatalf("%s is missing", always)
		}
	}
}

func walk(ts *testscript.TestScript, dir string, file func(path string)) {
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			file(path)
		}
		return err
	}))
}

// cmdJSON checks values in a JSON file, or in stdout: json FILE PATH=VALUE… or
// PATH~REGEXP. A path has keys, indexes, len for a length, * for all elements as a
// list, and "." alone for the whole; a value is text, or JSON as it is written.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) >= 2, "json FILE PATH=VALUE|PATH~REGEXP …")
	checkValues(ts, args[0], readJSON(ts, args[0]), args[1:])
}

// cmdJSONLines checks the same of each line of a file: jsonl FILE PATH=VALUE|PATH~REGEXP …
func cmdJSONLines(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) >= 2, "jsonl FILE PATH=VALUE|PATH~REGEXP …")
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var doc any
		ts.Check(json.Unmarshal([]byte(line), &doc))
		checkValues(ts, args[0], doc, args[1:])
	}
}

func checkValues(ts *testscript.TestScript, name string, doc any, checks []string) {
	for _, check := range checks {
		i := strings.IndexAny(check, "=~")
		if i < 0 {
			ts.Fatalf("%q is no check", check)
		}
		value, err := lookup(doc, check[:i])
		if err != nil {
			ts.Fatalf("%s: %s: %v", name, check, err)
		}
		got, want := plainText(value), check[i+1:]
		if check[i] == '=' && got != want || check[i] == '~' && !regexp.MustCompile(want).MatchString(got) {
			ts.Fatalf("%s: %s is %s, want %s", name, check[:i], got, want)
		}
	}
}

// cmdGet puts a value of a JSON file into a variable: get NAME FILE PATH
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) == 3, "get NAME FILE PATH")
	value, err := lookup(readJSON(ts, args[1]), args[2])
	ts.Check(err)
	ts.Setenv(args[0], plainText(value))
}

// readJSON reads a file that holds one JSON value and nothing else.
func readJSON(ts *testscript.TestScript, name string) any {
	var doc any
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(name)))
	decoder.UseNumber()
	ts.Check(decoder.Decode(&doc))
	if _, err := decoder.Token(); err != io.EOF {
		ts.Fatalf("%s holds more than one JSON value", name)
	}
	return doc
}

func lookup(v any, path string) (any, error) {
	if path == "" || path == "." {
		return v, nil
	}
	key, rest, _ := strings.Cut(path, ".")
	switch v := v.(type) {
	case map[string]any:
		if key == "len" {
			return len(v), nil
		}
		inner, ok := v[key]
		if !ok {
			return nil, fmt.Errorf("no %q", key)
		}
		return lookup(inner, rest)
	case []any:
		return lookupIn(v, key, rest)
	}
	return nil, fmt.Errorf("%q of something that has no parts", key)
}

func lookupIn(list []any, key, rest string) (any, error) {
	switch key {
	case "len":
		return len(list), nil
	case "*":
		all := []any{}
		for _, element := range list {
			inner, err := lookup(element, rest)
			if err != nil {
				return nil, err
			}
			all = append(all, inner)
		}
		return all, nil
	}
	i, err := strconv.Atoi(key)
	if err != nil || i >= len(list) {
		return nil, fmt.Errorf("no element %q in a list of %d", key, len(list))
	}
	return lookup(list[i], rest)
}

func plainText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// cmdLeaks looks for a value in files and folders, packed ones too, and in the
// usual disguises: leaks VALUE PATH…
func cmdLeaks(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, true, len(args) >= 2, "leaks VALUE PATH…")
	var found []string
	look := func(name, text string) {
		for _, form := range disguises(args[0]) {
			if strings.Contains(text, form) {
				found = append(found, name)
				return
			}
		}
	}
	for _, path := range args[1:] {
		if path == "stdout" || path == "stderr" {
			look(path, ts.ReadFile(path))
			continue
		}
		walk(ts, ts.MkAbs(path), func(path string) { look(path, unpacked(ts, path)) })
	}
	if (len(found) > 0) == neg {
		ts.Fatalf("the value is in %d of the files: %s", len(found), strings.Join(found, " "))
	}
}

// disguises are the value itself and its base64 wherever that begins.
func disguises(value string) []string {
	all := []string{value}
	for shift := range 3 {
		coded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), value...))
		all = append(all, coded[4*((shift+2)/3):len(coded)-4])
	}
	return all
}

// unpacked gives the name of a file and what is in it, packed or not.
func unpacked(ts *testscript.TestScript, path string) string {
	data, err := os.ReadFile(path)
	ts.Check(err)
	var r io.Reader = bytes.NewReader(data)
	switch {
	case strings.HasSuffix(path, ".gz"):
		r, err = gzip.NewReader(r)
	case strings.HasSuffix(path, ".zst"):
		var z *zstd.Decoder
		z, err = zstd.NewReader(r)
		if err == nil {
			defer z.Close()
		}
		r = z
	}
	ts.Check(err)
	text, err := io.ReadAll(r)
	ts.Check(err)
	return path + "\n" + string(text)
}

// cmdOrder checks that texts come one after the other: order FILE TEXT…
func cmdOrder(ts *testscript.TestScript, neg bool, args []string) {
	usageOf(ts, neg, false, len(args) >= 2, "order FILE TEXT…")
	rest := ts.ReadFile(args[0])
	for _, text := range args[1:] {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			ts.Fatalf("%q does not come where it should in %s", text, args[0])
		}
		rest = after
	}
}
