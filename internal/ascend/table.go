package ascend

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"profjob/internal/regular"
)

// Limits on the tables, against damaged and hostile files. kernel_details.csv is the
// largest: a row of some 300 bytes for each kernel.
const (
	maxTable   = 16 << 30 // bytes of a table
	maxRows    = 64 << 20 // its rows
	maxRecord  = 4 << 20  // bytes of one row
	maxField   = 1 << 20  // bytes of one field: shapes are long
	maxColumns = 4096     // of a row
	maxGroups  = 1 << 16  // kinds that rows are added up to
	maxName    = 4096     // bytes of such a kind's name that are kept
)

// ErrLimit says that a file goes beyond one of the limits of this package; the message
// names it.
var ErrLimit = errors.New("a limit is exceeded")

// column is one that is looked for.
type column struct {
	names    []string // of versions, as normal gives them and without a unit
	required bool
	digits   int // 10^digits ns is its unit where the header names none
}

// table reads the rows of a CSV file by the names of its columns.
type table struct {
	path   string
	rows   *csv.Reader
	from   *bounded
	record []string
	at     []int // the index of each column that is looked for, -1 where there is none
	digits []int // of its unit
	n      int   // rows so far
	bad    int   // rows left out
	first  string
}

// readTable calls row for each row of a CSV file, which says of a row that it can't use
// what is wrong with it. The error is of what was left out, too.
func readTable(ctx context.Context, path string, columns []column, row func(*table) error) error {
	f, err := regular.Open(path)
	if err != nil {
		return fmt.Errorf("read %w", err)
	}
	defer f.Close() // it is only read
	t := newTable(path, f)
	if err := t.header(columns); err != nil {
		return err
	}
	for {
		more, err := t.next(ctx)
		if err != nil {
			return err
		}
		if !more {
			return t.leftOut()
		}
		if err := row(t); errors.Is(err, ErrLimit) {
			return err
		} else if err != nil {
			if t.bad++; t.bad == 1 {
				t.first = err.Error()
			}
		}
	}
}

func newTable(path string, from io.Reader) *table {
	t := &table{path: path, from: &bounded{from: from, slack: maxRecord}}
	t.rows = csv.NewReader(t.from)
	t.rows.ReuseRecord, t.rows.FieldsPerRecord, t.rows.LazyQuotes = true, -1, true
	return t
}

// header finds the columns.
func (t *table) header(columns []column) error {
	more, err := t.read()
	if err != nil {
		return err
	}
	if !more {
		return fmt.Errorf("read %s: it is empty: there is no header", t.path)
	}
	names := make([]string, len(t.record))
	digits := make([]int, len(t.record))
	for i, h := range t.record {
		names[i], digits[i] = normal(h)
	}
	for _, c := range columns {
		at := -1
		for _, name := range c.names {
			if at = slices.Index(names, name); at >= 0 {
				break
			}
		}
		if at < 0 && c.required {
			return fmt.Errorf("read %s: line 1: there is no column %q among %s", t.path, c.names[0], t.shown())
		}
		unit := c.digits
		if at >= 0 && digits[at] != noUnit {
			unit = digits[at]
		}
		t.at, t.digits = append(t.at, at), append(t.digits, unit)
	}
	return nil
}

// shown are the columns that there are, for messages.
func (t *table) shown() string {
	var names []string
	for _, h := range t.record[:min(len(t.record), 16)] {
		names = append(names, fmt.Sprintf("%.40q", h))
	}
	return strings.Join(names, ", ")
}

const noUnit = -1

// units are those that headers name, as powers of ten of a ns.
var units = map[string]int{"ns": 0, "us": 3, "ms": 6, "s": 9}

// normal is a header without what versions differ in: "Duration (us)", "Duration(µs)" and
// "duration(us)" are all "duration" with a unit of µs.
func normal(header string) (name string, digits int) {
	name = strings.ToLower(strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '_', '\ufeff':
			return -1
		case 'µ', 'μ':
			return 'u'
		}
		return r
	}, header[:min(len(header), 256)]))
	if open := strings.LastIndexByte(name, '('); open >= 0 && strings.HasSuffix(name, ")") {
		if digits, ok := units[name[open+1:len(name)-1]]; ok {
			return name[:open], digits
		}
	}
	return name, noUnit
}

// next reads a row.
func (t *table) next(ctx context.Context) (bool, error) {
	if t.n&0xfff == 0 && ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	more, err := t.read()
	if !more || err != nil {
		return false, err
	}
	if t.n++; t.n > maxRows {
		return false, fmt.Errorf("read %s: %w: rows (limit %d)", t.path, ErrLimit, maxRows)
	}
	return true, nil
}

func (t *table) read() (bool, error) {
	start := t.rows.InputOffset()
	t.from.upTo(start)
	record, err := t.rows.Read()
	if err == io.EOF {
		return false, nil
	}
	line := 0
	if len(record) > 0 {
		line, _ = t.rows.FieldPos(0)
	}
	switch {
	case errors.Is(err, errTooLong):
		return false, fmt.Errorf("read %s: %w: bytes of the row at byte %d (limit %d)", t.path, ErrLimit, start, maxRecord)
	case errors.Is(err, errTooLarge):
		return false, fmt.Errorf("read %s: %w: bytes of the file (limit %d)", t.path, ErrLimit, int64(maxTable))
	case err != nil:
		return false, fmt.Errorf("read %s: %w", t.path, err)
	case len(record) > maxColumns:
		return false, fmt.Errorf("read %s: line %d: %w: columns (limit %d)", t.path, line, ErrLimit, maxColumns)
	}
	for _, field := range record {
		if len(field) > maxField {
			return false, fmt.Errorf("read %s: line %d: %w: bytes of a field (limit %d)", t.path, line, ErrLimit, maxField)
		}
	}
	t.record = record
	return true, nil
}

// text is the value of a column in this row, "" where there is none.
func (t *table) text(c int) string {
	if at := t.at[c]; at >= 0 && at < len(t.record) {
		return strings.TrimSpace(t.record[at])
	}
	return ""
}

// time is the value of a column that has times; of one that is not there, empty or
// "N/A", 0.
func (t *table) time(c int) (int64, error) {
	text := t.text(c)
	if text == "" || text == "N/A" {
		return 0, nil
	}
	n, ok := nanoseconds(text, t.digits[c])
	if !ok {
		return 0, t.fault(c, "is not a time")
	}
	return n, nil
}

// length is time where it can't be negative.
func (t *table) length(c int) (int64, error) {
	n, err := t.time(c)
	if err == nil && n < 0 {
		err = t.fault(c, "is negative")
	}
	return n, err
}

func (t *table) fault(c int, what string) error {
	line, _ := t.rows.FieldPos(0) // the row may end before the column
	return fmt.Errorf("line %d: column %d: %.40q %s", line, t.at[c]+1, t.text(c), what)
}

// leftOut is nil where all rows were of use.
func (t *table) leftOut() error {
	if t.bad == 0 {
		return nil
	}
	return fmt.Errorf("read %s: %s; left out: %d of %d rows", t.path, t.first, t.bad, t.n)
}

// bounded is a reader that ends where a row becomes too long or the file too large: what
// parses it holds a row in memory, however long it is.
type bounded struct {
	from  io.Reader
	slack int64 // how much may be read beyond what was parsed
	read  int64
	until int64
}

var (
	errTooLong  = errors.New("too long")
	errTooLarge = errors.New("too large")
)

// readAhead is what a parser may have read beyond what it parsed.
const readAhead = 64 << 10

// upTo notes what was parsed.
func (b *bounded) upTo(parsed int64) { b.until = parsed + b.slack + readAhead }

func (b *bounded) Read(p []byte) (int, error) {
	switch {
	case b.read >= maxTable:
		return 0, errTooLarge
	case b.read >= b.until:
		return 0, errTooLong
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.until-b.read)])
	b.read += int64(n)
	return n, err
}
