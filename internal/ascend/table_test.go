package ascend

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// TestHeaders: the columns of several versions, in any order.
func TestHeaders(t *testing.T) {
	for _, header := range []string{
		"Name,Type,Accelerator Core,Start Time(us),Duration(us),Wait Time(us),Block Dim",
		"Wait Time(us),Duration(us),Start Time(us),Accelerator Core,Type,Name",
		"\ufeffStep Id,Device_id,Name,Type,Accelerator Core,Start Time (us),Duration (us),Wait Time (us),Block Num",
		"Name,Type,Accelerator Core,Start Time(µs),Duration(µs),Wait Time(μs)",
		"Device_id,Op Name,OP Type,Task Type,Task Start Time(us),Task Duration(us),Task Wait Time(us),Block Num",
		"Name,Type,Accelerator,Start Time(ms),Duration(ms),Wait Time(ns)",
		"name,type,accelerator core,start time,duration,wait time",
	} {
		values := map[string]string{"name": "aclnnMm", "opname": "aclnnMm", "type": "MatMulV2", "optype": "MatMulV2",
			"acceleratorcore": "AI_CORE", "accelerator": "AI_CORE", "tasktype": "AI_CORE"}
		var row []string
		for _, h := range strings.Split(header, ",") {
			name, digits := normal(h)
			switch {
			case strings.HasSuffix(name, "duration"):
				values[name] = map[int]string{3: "2.5", noUnit: "2.5", 6: "0.0025"}[digits]
			case strings.HasSuffix(name, "waittime"):
				values[name] = map[int]string{3: "1", noUnit: "1", 0: "1000"}[digits]
			}
			row = append(row, values[name])
		}
		d := &Dir{}
		path := filepath.Join(t.TempDir(), "kernel_details.csv")
		write(t, path, header+"\r\n"+strings.Join(row, ",")+"\r\n")
		err := d.readKernels(t.Context(), path)
		if want := []Kernel{{"MatMulV2", "AI_CORE", 1, 2500, 1000, 2500}}; err != nil || !reflect.DeepEqual(d.Kernels, want) {
			t.Errorf("%s: %+v, %v", header, d.Kernels, err)
		}
	}
}

// TestBadTables: what can't be read is named with its place, and the rest is kept.
func TestBadTables(t *testing.T) {
	const header = "Name,Type,Duration(us),Wait Time(us)\n"
	for name, c := range map[string]struct {
		text string
		want string // part of the message
		kept int    // runs
		is   error
	}{
		"empty":           {"", "there is no header", 0, nil},
		"header only":     {header, "", 0, nil},
		"no column":       {"Name,Type,Time\nx,y,1\n", `no column "duration" among "Name", "Type", "Time"`, 0, nil},
		"nan":             {header + "a,A,nan,0\na,A,2,0\n", `line 2: column 3: "nan" is not a time; left out: 1 of 2 rows`, 1, nil},
		"negative":        {header + "a,A,1,0\na,A,-2,0\na,A,-3,0\n", `line 3: column 3: "-2" is negative; left out: 2 of 3 rows`, 1, nil},
		"N/A":             {header + "a,A,N/A,N/A\na,A,,\n", "", 2, nil},
		"short row":       {header + "a,A\na\n\na,A,1,2,3,4\n", "", 3, nil},
		"negative wait":   {header + "a,A,1,-5\n", "", 1, nil},
		"sums stay":       {header + strings.Repeat("a,A,2305843009213692,0\n", 5), "", 5, nil},
		"long field":      {header + "a,A,1,0\n" + strings.Repeat("x", maxField+1) + ",A,1,0\n", fmt.Sprintf("line 3: a limit is exceeded: bytes of a field (limit %d)", maxField), 1, ErrLimit},
		"long row":        {header + "a,A,1,0\n" + strings.Repeat("xx,", 2<<20), fmt.Sprintf("bytes of the row at byte 45 (limit %d)", maxRecord), 1, ErrLimit},
		"open quote":      {header + "a,A,1,0\n\"" + strings.Repeat("x\n", 4<<20), fmt.Sprintf("bytes of the row at byte 45 (limit %d)", maxRecord), 1, ErrLimit},
		"columns":         {header + strings.Repeat(",", maxColumns) + "\n", fmt.Sprintf("line 2: a limit is exceeded: columns (limit %d)", maxColumns), 0, ErrLimit},
		"quotes within":   {header + "a \"b\" c,A,1,0\n", "", 1, nil},
		"not text":        {header + "\xff\xfe\x00,\x00,1,0\n", "", 1, nil},
		"huge header":     {strings.Repeat("h", maxField) + "," + header, "", 0, nil},
		"different names": {header + manyNames(), fmt.Sprintf("different names (limit %d)", maxGroups), maxGroups, ErrLimit},
	} {
		path := filepath.Join(t.TempDir(), "kernel_details.csv")
		write(t, path, c.text)
		d := &Dir{}
		err := d.readKernels(t.Context(), path)
		runs := 0
		for _, k := range d.Kernels {
			if runs += k.Count; k.Time < 0 || k.Wait < 0 {
				t.Errorf("%s: %+v", name, k)
			}
		}
		if runs != c.kept {
			t.Errorf("%s: %d runs were kept", name, runs)
		}
		switch {
		case c.want == "" && err != nil, c.want != "" && err == nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v\nhas not %s", name, err, c.want)
		case c.is != nil && !errors.Is(err, c.is):
			t.Errorf("%s: %v is not a limit", name, err)
		}
	}
}

func manyNames() string {
	var b strings.Builder
	for i := range maxGroups + 1 {
		fmt.Fprintf(&b, "a,A%d,1,0\n", i)
	}
	return b.String()
}

// TestLineOfAGigabyte: it is not read.
func TestLineOfAGigabyte(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x"+Suffix, output)
	write(t, filepath.Join(dir, TraceName), "[]")
	for _, name := range []string{"kernel_details.csv", "op_statistic.csv", "operator_details.csv", "step_trace_time.csv", "communication.json"} {
		path := filepath.Join(dir, name)
		write(t, path, "")
		if err := os.Truncate(path, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "communication.json"), `{"`+strings.Repeat("a", 3*maxRecord))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := Read(t.Context(), filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 256<<20 {
		t.Errorf("it took %d MiB", took>>20)
	}
	limits := slices.DeleteFunc(slices.Clone(d.Problems), func(p string) bool { return !strings.Contains(p, fmt.Sprintf("(limit %d)", maxRecord)) })
	if len(limits) != 5 {
		t.Errorf("%q", d.Problems)
	}
}

func TestBounded(t *testing.T) {
	b := &bounded{from: bytes.NewReader(make([]byte, 100)), slack: 1, read: maxTable - 10}
	b.upTo(maxTable)
	if _, err := b.Read(make([]byte, 100)); err != nil {
		t.Error(err)
	}
	if _, err := b.Read(make([]byte, 100)); err != errTooLarge {
		t.Error(err)
	}
	failed := errors.New("the disk does not answer")
	table := newTable("x.csv", iotest.ErrReader(failed))
	if _, err := table.read(); !errors.Is(err, failed) {
		t.Error(err)
	}
}

func TestBadCollectives(t *testing.T) {
	const good = `"hcom_a__1_2_3@4":{"Communication Time Info":{"Elapse Time(ms)":1}}`
	for name, c := range map[string]struct {
		text, want string
		kept       int
	}{
		"empty object":   {`{}`, "", 0},
		"null":           {`{"step":null}`, "", 0},
		"other keys":     {`{"step":{"else":[1,{"a":2}],"collective":{` + good + `,"Total Op Info":{"a":[1]}}}}`, "", 1},
		"no times":       {`{"step":{"collective":{"a":{},` + good + `}}}`, "", 1},
		"empty":          {``, "unexpected EOF", 0},
		"truncated":      {`{"step":{"collective":{` + good + `,`, "unexpected EOF", 1},
		"array":          {`[1]`, `"[" is not an object`, 0},
		"NaN":            {`{"step":{"collective":{` + good + `,"b":{"Communication Time Info":{"Elapse Time(ms)":NaN}}}}}`, "byte 95: invalid character 'N'", 1},
		"text as a time": {`{"step":{"collective":{"b":{"Communication Time Info":{"Elapse Time(ms)":"x"}},` + good + `}}}`, `left out: 1 of 2 operations`, 1},
		"negative":       {`{"step":{"collective":{"b":{"Communication Time Info":{"Elapse Time(ms)":-1}},` + good + `}}}`, `"b": "-1" is not a time; left out: 1 of 2 operations`, 1},
		"another type":   {`{"step":{"collective":{"b":[1],` + good + `}}}`, `left out: 1 of 2 operations`, 1},
		"more behind":    {`{} {}`, "text after the end", 0},
		"nesting":        {`{"step":{"collective":{"b":` + strings.Repeat(`[`, 100000), "exceeded max depth", 0},
		"long value":     {`{"step":{"collective":{` + good + `,"b":{"x":"` + strings.Repeat("y", 3*maxRecord), fmt.Sprintf("(limit %d)", maxRecord), 1},
		"long key":       {`{"step":{"collective":{` + good + `,"` + strings.Repeat("y", 3*maxRecord), fmt.Sprintf("(limit %d)", maxRecord), 1},
		"long skipped":   {`{"step":{"else":"` + strings.Repeat("y", 3*maxRecord), fmt.Sprintf("(limit %d)", maxRecord), 0},
	} {
		path := filepath.Join(t.TempDir(), "communication.json")
		write(t, path, c.text)
		d := &Dir{}
		err := d.readCollectives(t.Context(), path)
		runs := 0
		for _, k := range d.Collectives {
			runs += k.Count
		}
		if runs != c.kept {
			t.Errorf("%s: %d runs were kept", name, runs)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

// fuzzFile gives a function that writes what a fuzz target got to a file: each time a new
// one, for ext4 waits for the disk where one is written over.
func fuzzFile(f *testing.F, name string) func(*testing.T, []byte) string {
	path := filepath.Join(f.TempDir(), name)
	return func(t *testing.T, text []byte) string {
		os.Remove(path)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// FuzzTables: no table makes the reader fail in another way than by an error that names
// the file, and no sum is negative.
func FuzzTables(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*/*.csv"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			text, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("Name,Duration(us)\n\"a\n\",nan\nb,-1\n\xff,1e99"))
	file := fuzzFile(f, "table.csv")
	f.Fuzz(func(t *testing.T, text []byte) {
		path := file(t, text)
		d := &Dir{}
		for _, err := range []error{d.readKernels(t.Context(), path), d.readTypes(t.Context(), path), d.readOperators(t.Context(), path), d.readSteps(t.Context(), path)} {
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Fatal(err)
			}
		}
		for _, k := range d.Kernels {
			if k.Count < 1 || k.Time < 0 || k.Wait < 0 || k.Max < 0 || k.Max > k.Time {
				t.Fatalf("%+v", k)
			}
		}
		for _, k := range d.Types {
			if k.Count < 0 || k.Time < 0 || k.Min < 0 || k.Avg < 0 || k.Max < 0 {
				t.Fatalf("%+v", k)
			}
		}
		for _, o := range d.Operators {
			if o.Count < 1 || min(o.HostSelf, o.HostTotal, o.DeviceSelf, o.DeviceTotal, o.DeviceSelfAI) < 0 {
				t.Fatalf("%+v", o)
			}
		}
	})
}

// FuzzCollectives is the same of communication.json.
func FuzzCollectives(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*/*/communication.json")
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"step":{"collective":{"a":{"Communication Time Info":{"Elapse Time(ms)":NaN}}}}}`))
	file := fuzzFile(f, "communication.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		path := file(t, text)
		d := &Dir{}
		if err := d.readCollectives(t.Context(), path); err != nil && !strings.Contains(err.Error(), path) {
			t.Fatal(err)
		}
		for _, c := range d.Collectives {
			if c.Count < 1 || min(c.Elapsed, c.Transit, c.Wait, c.Synchronize, c.Idle) < 0 {
				t.Fatalf("%+v", c)
			}
		}
	})
}
