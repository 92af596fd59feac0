package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"profjob/internal/scrub"
)

const (
	// followEvery is how long a line may wait until it is in the log.
	followEvery = 100 * time.Millisecond
	// followChunk is how much is read at once, in bytes.
	followChunk = 64 << 10
)

// follower copies what a process writes to a file without a name into its log, with
// a marker in the place of what must not be seen.
//
// It is a file, not a pipe, for the sake of the process: it is never blocked, and no
// signal ends it, if whoever follows is slow or gone. The file has lost its name
// before the process starts and ends with the last who has it open, so that nothing
// of it is left on the disk whatever dies; what was copied is given back to the disk
// as it goes (where the file system can), so that it stays small.
type follower struct {
	raw *os.File // what the process has written
	out *scrub.Writer
	log *os.File

	mu     sync.Mutex
	buf    []byte
	pos    int64 // up to which raw was copied
	given  int64 // up to which it was given back to the disk
	err    error // the first of the copying
	closed bool

	stop chan struct{}
	done sync.WaitGroup
}

// newFollower makes the file for the process in a directory. The follower owns log.
func newFollower(dir string, log *os.File, hide scrub.Values) (f *follower, write *os.File, err error) {
	raw, write, err := nameless(dir)
	if err != nil {
		return nil, nil, err
	}
	return &follower{raw: raw, out: scrub.NewWriter(log, hide), log: log, buf: make([]byte, followChunk), stop: make(chan struct{})}, write, nil
}

// nameless makes a file that is open for reading and for appending, and that has no
// name any more.
func nameless(dir string) (read, write *os.File, err error) {
	read, err = os.CreateTemp(dir, ".profjob-*.tmp") // its mode is 0600
	if err != nil {
		return nil, nil, fmt.Errorf("log: %w", err)
	}
	write, err = os.OpenFile(read.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err = errors.Join(err, os.Remove(read.Name())); err != nil {
		if write != nil {
			err = errors.Join(err, write.Close())
		}
		return nil, nil, errors.Join(fmt.Errorf("log: %w", err), read.Close())
	}
	return read, write, nil
}

// follow begins the copying, which ends with close.
func (f *follower) follow() {
	f.done.Go(func() {
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f.poll()
			case <-f.stop:
				return
			}
		}
	})
}

// poll copies what has come since the last time. After an error nothing more is
// copied: the log ends there, and the process writes on.
func (f *follower) poll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.err != nil {
		return
	}
	if info, err := f.raw.Stat(); err == nil && info.Size() < f.pos {
		f.pos, f.given = 0, 0 // the process has emptied it, and begins anew
	}
	for f.err == nil {
		n, err := f.raw.ReadAt(f.buf, f.pos)
		f.pos += int64(n)
		if n > 0 {
			_, f.err = f.out.Write(f.buf[:n])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if f.err == nil {
			f.err = err
		}
	}
	f.giveBack()
}

// giveBack lets the disk have what was copied, once it is worth a call.
func (f *follower) giveBack() {
	const worth = 1 << 20
	if until := f.pos &^ (worth - 1); until > f.given {
		punch(f.raw, f.given, until-f.given)
		f.given = until
	}
}

// close copies the rest and ends. It gives the first error of the copying, once.
func (f *follower) close() error {
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return nil
	}
	f.poll()
	close(f.stop)
	f.done.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.err == nil {
		f.err = f.out.Flush()
	}
	return errors.Join(f.err, f.log.Close(), f.raw.Close())
}
