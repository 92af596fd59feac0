package durable

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Part is a file that is written in several goes, and is there whole or not at all:
// what one go wrote stays under a name that is not final ([IsTmp]), also where the
// process was killed, and the next one goes on from there.
//
// Beside it lies a file of checkpoints: how far it had got, with the SHA-256 of all
// up to there. What does not match its checkpoint, as after a crash of the machine,
// is written again. One goroutine has a Part at a time, one process a path.
type Part struct {
	path string // the final one
	data *os.File
	sums *os.File
	hash hash.Hash
	size int64
	from int64 // where this go began
	next int64 // when the next checkpoint is due
}

// checkpointEvery is how much a go that is cut off may lose, in bytes.
const checkpointEvery = 4 << 20

// maxCheckpoints bounds the file of checkpoints when it is read, in bytes: those of 2 TiB.
const maxCheckpoints = 64 << 20

// OpenPart begins to write the file path, or goes on with what an earlier go left,
// where that was of the same id. id is what is written there: the source, and what
// changes when the source does. It fails with [fs.ErrExist] where the file is there.
// It reads what it goes on from, and ends with ctx.
func OpenPart(ctx context.Context, path, id string) (*Part, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return nil, err
	}
	if p, err := takeUp(ctx, path, id); p != nil || err != nil {
		return p, err
	}
	data, err := os.OpenFile(partName(path, "part"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	sums, err := os.OpenFile(partName(path, "sums"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, errors.Join(err, data.Close(), os.Remove(data.Name()))
	}
	p := &Part{path: path, data: data, sums: sums, hash: sha256.New(), next: checkpointEvery}
	if _, err := fmt.Fprintf(sums, "%s\n", strconv.Quote(id)); err != nil {
		return nil, errors.Join(err, p.Discard())
	}
	return p, nil
}

// takeUp goes on with what is there; nil where nothing of the id is.
func takeUp(ctx context.Context, path, id string) (*Part, error) {
	points, ok := readCheckpoints(path, id)
	if !ok {
		return nil, nil
	}
	data, err := os.OpenFile(partName(path, "part"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &Part{path: path, data: data, hash: sha256.New()}
	good, err := p.proven(ctx, points)
	if err == nil {
		p.sums, err = os.OpenFile(partName(path, "sums"), os.O_RDWR, 0)
	}
	if err == nil {
		p.size, p.from, p.next = good.size, good.size, good.size+checkpointEvery
		_, seekErr := data.Seek(p.size, io.SeekStart)
		_, sumsErr := p.sums.Seek(good.end, io.SeekStart)
		err = errors.Join(data.Truncate(p.size), p.sums.Truncate(good.end), seekErr, sumsErr)
	}
	if err != nil {
		return nil, errors.Join(err, p.Keep())
	}
	return p, nil
}

// proven hashes what is there and gives the last checkpoint that it bears out.
func (p *Part) proven(ctx context.Context, points []checkpoint) (checkpoint, error) {
	good := points[0]
	running := sha256.New().(hash.Cloner) // as all of the standard library's are
	for _, c := range points[1:] {
		n, err := io.CopyN(running, untilDone{ctx, p.data}, c.size-good.size)
		if ctx.Err() != nil {
			return good, context.Cause(ctx)
		}
		if n < c.size-good.size || err != nil || hex.EncodeToString(running.Sum(nil)) != c.sum {
			break
		}
		if p.hash, err = running.Clone(); err != nil {
			return good, err
		}
		if c.whole { // all was written, and only the name is missing: it is not at its end again yet
			c.end = good.end
		}
		good = c
	}
	return good, nil
}

// untilDone reads until its context is done.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(b []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(b)
}

// From is how many bytes earlier goes had written.
func (p *Part) From() int64 { return p.from }

// Size is how many bytes are written.
func (p *Part) Size() int64 { return p.size }

// Sum is the SHA-256 of what is written, in hex.
func (p *Part) Sum() string { return hex.EncodeToString(p.hash.Sum(nil)) }

// Name is the path where it is written, for whoever reads it before it is committed.
func (p *Part) Name() string { return p.data.Name() }

// Write appends. After an error the part is for Discard, or for Keep.
func (p *Part) Write(b []byte) (int, error) {
	n, err := p.data.Write(b)
	p.hash.Write(b[:n]) // it never fails
	p.size += int64(n)
	if err == nil && p.size >= p.next {
		err = p.checkpoint("")
	}
	return n, err
}

func (p *Part) checkpoint(mark string) error {
	p.next = p.size + checkpointEvery
	_, err := fmt.Fprintf(p.sums, "%d %s%s\n", p.size, p.Sum(), mark)
	return err
}

// Commit syncs the file, gives it its final name, and syncs the directory. It gives
// its size and its SHA-256 in hex. The checkpoints stay until they are cleaned up:
// they prove to [Written] what the file is. After an error the part is for Discard.
func (p *Part) Commit() (size int64, sum string, err error) {
	if err := p.checkpoint(wholeMark); err != nil {
		return 0, "", err
	}
	if err := p.data.Sync(); err != nil {
		return 0, "", err
	}
	if err := errors.Join(p.data.Close(), p.sums.Close()); err != nil {
		return 0, "", err
	}
	if err := os.Rename(p.data.Name(), p.path); err != nil {
		return 0, "", err
	}
	return p.size, p.Sum(), SyncDir(filepath.Dir(p.path))
}

// Keep leaves what there is for another go.
func (p *Part) Keep() error {
	var errs []error
	if p.sums != nil {
		errs = append(errs, p.checkpoint(""), p.sums.Close())
	}
	return errors.Join(append(errs, p.data.Close())...)
}

// Discard takes away what there is.
func (p *Part) Discard() error {
	p.data.Close() // one that is closed already
	p.sums.Close()
	return DiscardPart(p.path)
}

// DiscardPart takes away what unfinished goes have left of a file, and the
// checkpoints of one that was finished.
func DiscardPart(path string) error {
	var errs []error
	for _, what := range []string{"part", "sums"} {
		if err := os.Remove(partName(path, what)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Begun tells whether a file of this id was begun to be written at path, or is there
// whole, and how many bytes of it the disk holds.
func Begun(path, id string) (size int64, ok bool) {
	if _, ok := readCheckpoints(path, id); !ok {
		return 0, false
	}
	for _, name := range []string{partName(path, "part"), path} {
		if info, err := os.Lstat(name); err == nil {
			return info.Size(), true
		}
	}
	return 0, true
}

// Written gives the size and the SHA-256 of a file that a Part of this id has
// become. ok is false where there is none, or it is not what was written then.
func Written(ctx context.Context, path, id string) (size int64, sum string, ok bool, err error) {
	points, begun := readCheckpoints(path, id)
	if !begun || !points[len(points)-1].whole {
		return 0, "", false, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, "", false, nil
	}
	if err != nil {
		return 0, "", false, err
	}
	defer f.Close() // it is only read
	hash := sha256.New()
	size, err = io.Copy(hash, untilDone{ctx, f})
	if err != nil {
		return 0, "", false, err
	}
	last := points[len(points)-1]
	sum = hex.EncodeToString(hash.Sum(nil))
	return size, sum, size == last.size && sum == last.sum, nil
}

// checkpoint is a line of the file of checkpoints.
type checkpoint struct {
	size  int64  // bytes of the part
	sum   string // SHA-256 of them, hex
	whole bool   // it is all
	end   int64  // of the line in the file of checkpoints
}

const wholeMark = " whole"

// readCheckpoints gives the checkpoints of a part, the first of them that of
// nothing; ok is false where none of the id was begun. A line that is not whole, or
// none of ours, ends them.
func readCheckpoints(path, id string) (points []checkpoint, ok bool) {
	f, err := os.Open(partName(path, "sums"))
	if err != nil {
		return nil, false
	}
	defer f.Close() // it is only read
	return parseCheckpoints(io.LimitReader(f, maxCheckpoints), id)
}

func parseCheckpoints(from io.Reader, id string) (points []checkpoint, ok bool) {
	r := bufio.NewReader(from)
	head, err := r.ReadString('\n')
	if err != nil || head != strconv.Quote(id)+"\n" {
		return nil, false
	}
	last := checkpoint{end: int64(len(head))}
	points = []checkpoint{last}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return points, true
		}
		text, whole := strings.CutSuffix(strings.TrimSuffix(line, "\n"), wholeMark)
		number, sum, _ := strings.Cut(text, " ")
		size, err := strconv.ParseInt(number, 10, 64)
		if err != nil || size < last.size || len(sum) != 2*sha256.Size || last.whole {
			return points, true
		}
		last = checkpoint{size: size, sum: sum, whole: whole, end: last.end + int64(len(line))}
		points = append(points, last)
	}
}

// partName names what belongs to a file that is not whole, in its folder. It is the
// same each time, and short, whatever the length of the final name.
func partName(path, what string) string {
	sum := sha256.Sum256([]byte(filepath.Base(path)))
	return filepath.Join(filepath.Dir(path), tmpPrefix+hex.EncodeToString(sum[:8])+"."+what+tmpSuffix)
}
