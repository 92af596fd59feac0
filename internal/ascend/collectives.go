package ascend

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"profjob/internal/regular"
)

// Collective is all runs of one collective or point-to-point operation in one group of
// ranks. Times are ns.
type Collective struct {
	Name         string // hcom_allReduce, …
	Group        string // what stands behind the @; empty where nothing does
	PointToPoint bool
	Count        int
	Elapsed      int64
	Transit      int64 // data were under way
	Wait         int64 // the others were waited for
	Synchronize  int64 // of that, before the first data
	Idle         int64
}

// operation is one of communication.json.
type operation struct {
	Time *struct {
		Elapsed     json.Number `json:"Elapse Time(ms)"`
		Transit     json.Number `json:"Transit Time(ms)"`
		Wait        json.Number `json:"Wait Time(ms)"`
		Synchronize json.Number `json:"Synchronization Time(ms)"`
		Idle        json.Number `json:"Idle Time(ms)"`
	} `json:"Communication Time Info"`
}

// readCollectives reads communication.json, which torch_npu writes of Level1 and Level2
// (_communication_parser.py):
//
//	{"step1": {"p2p": {…}, "collective": {
//	  "hcom_broadcast__844_1_1@13681369207305868844": {
//	    "Communication Time Info": {"Start Timestamp(us)": 1713174287407957.0, "Elapse Time(ms)": 0.06086, …},
//	    "Communication Bandwidth Info": {…}},
//	  "Total Op Info": {…}}}}
func (d *Dir) readCollectives(ctx context.Context, path string) error {
	f, err := regular.Open(path)
	if err != nil {
		return fmt.Errorf("read %w", err)
	}
	defer f.Close() // it is only read
	g := groups[Collective]{path: path}
	r := collectiveReader{from: &bounded{from: f, slack: maxRecord}, groups: &g}
	r.decoder = json.NewDecoder(r.from)
	err = r.file(ctx)
	d.Collectives = g.sorted(func(a, b *Collective) int {
		return cmp.Or(cmp.Compare(b.Elapsed, a.Elapsed), strings.Compare(a.Name, b.Name), strings.Compare(a.Group, b.Group))
	})
	switch {
	case err == nil:
		return r.leftOut(path)
	case ctx.Err() != nil || errors.Is(err, ErrLimit):
		return err
	case errors.Is(err, errTooLong):
		return fmt.Errorf("read %s: %w: bytes of the value at byte %d (limit %d)", path, ErrLimit, r.decoder.InputOffset(), maxRecord)
	case errors.Is(err, errTooLarge):
		return fmt.Errorf("read %s: %w: bytes of the file (limit %d)", path, ErrLimit, int64(maxTable))
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s: byte %d: %w", path, r.decoder.InputOffset(), err)
}

// collectiveReader goes through the file and holds one operation at a time.
type collectiveReader struct {
	decoder *json.Decoder
	from    *bounded
	groups  *groups[Collective]
	n, bad  int // operations, and those left out
	first   error
}

func (r *collectiveReader) file(ctx context.Context) error {
	err := r.members(func(step string) error {
		return r.members(func(kind string) error {
			if kind != "p2p" && kind != "collective" {
				return r.skip()
			}
			return r.members(func(name string) error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				r.n++
				err := r.operation(name, kind == "p2p")
				if bad := (*badOperation)(nil); errors.As(err, &bad) {
					if r.bad++; r.bad == 1 {
						r.first = err
					}
					err = nil
				}
				return err
			})
		})
	})
	if err != nil {
		return err
	}
	if _, err := r.decoder.Token(); err != io.EOF {
		return errors.New("text after the end of the JSON")
	}
	return nil
}

// leftOut is nil where all operations were of use.
func (r *collectiveReader) leftOut(path string) error {
	if r.bad == 0 {
		return nil
	}
	return fmt.Errorf("read %s: %w; left out: %d of %d operations", path, r.first, r.bad, r.n)
}

// badOperation says what is wrong with an operation that was read to its end.
type badOperation struct{ text string }

func (e *badOperation) Error() string { return e.text }

// members goes through an object; null is an empty one.
func (r *collectiveReader) members(member func(key string) error) error {
	open, err := r.token()
	if err != nil || open == nil {
		return err
	}
	if open != json.Delim('{') {
		return fmt.Errorf("%.40q is not an object", fmt.Sprint(open))
	}
	for {
		key, err := r.token()
		if err != nil || key == json.Delim('}') {
			return err
		}
		if err := member(key.(string)); err != nil { // the decoder lets nothing else be a key
			return err
		}
	}
}

func (r *collectiveReader) token() (json.Token, error) {
	r.from.upTo(r.decoder.InputOffset())
	return r.decoder.Token()
}

func (r *collectiveReader) skip() error {
	r.from.upTo(r.decoder.InputOffset())
	var none struct{}
	err := r.decoder.Decode(&none)
	if mismatch := (*json.UnmarshalTypeError)(nil); errors.As(err, &mismatch) {
		return nil
	}
	return err
}

func (r *collectiveReader) operation(name string, pointToPoint bool) error {
	if name == "Total Op Info" {
		return r.skip()
	}
	r.from.upTo(r.decoder.InputOffset())
	var o operation
	switch err, syntax := r.decoder.Decode(&o), (*json.SyntaxError)(nil); {
	case errors.Is(err, errTooLong) || errors.Is(err, errTooLarge) || errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case err != nil:
		return &badOperation{fmt.Sprintf("%.80q: %v", name, err)}
	}
	if o.Time == nil {
		return nil
	}
	var times [5]int64
	for i, n := range []json.Number{o.Time.Elapsed, o.Time.Transit, o.Time.Wait, o.Time.Synchronize, o.Time.Idle} {
		if n == "" {
			continue
		}
		ns, ok := nanoseconds(n.String(), 6)
		if !ok || ns < 0 {
			return &badOperation{fmt.Sprintf("%.80q: %.40q is not a time", name, n.String())}
		}
		times[i] = ns
	}
	operation, group := operationOf(name)
	c, isNew, err := r.groups.row(operation, group)
	if err != nil {
		return err
	}
	if isNew {
		c.Name, c.Group, c.PointToPoint = strings.Clone(operation), strings.Clone(group), pointToPoint
	}
	c.Count++
	c.Elapsed, c.Transit, c.Wait = add(c.Elapsed, times[0]), add(c.Transit, times[1]), add(c.Wait, times[2])
	c.Synchronize, c.Idle = add(c.Synchronize, times[3]), add(c.Idle, times[4])
	return nil
}

// operationOf splits hcom_allReduce__844_1_1@13681369207305868844: the numbers are the
// group's and the run's.
func operationOf(name string) (operation, group string) {
	name, group, _ = strings.Cut(name, "@")
	operation, _, _ = strings.Cut(name, "__")
	return cut(operation), cut(group)
}
