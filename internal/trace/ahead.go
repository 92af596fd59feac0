package trace

import (
	"context"
	"io"
	"os"
)

// A file is read and decompressed in blocks, by a goroutine that is some of
// them ahead of the one that looks at them.
const (
	blockSize = 256 << 10 // bytes of content
	headroom  = 32 << 10  // bytes left free before them, for what the block before ends with
	blocks    = 4         // at the most, of one file
)

// block is content in buf[headroom:end], and why there is none after it.
type block struct {
	buf []byte
	end int
	err error
}

// ahead owns the goroutine. Its methods are for one other one.
type ahead struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	content *opened
	full    chan block
	free    chan []byte
	done    chan struct{}
}

// readAhead begins to read. The content belongs to it from then on.
func readAhead(ctx context.Context, content *opened) *ahead {
	a := &ahead{content: content, full: make(chan block, blocks), free: make(chan []byte, blocks), done: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	for range blocks {
		a.free <- nil
	}
	go a.run()
	return a
}

// next gives the next block, which the caller gives back by release. The error
// is that of the context; those of the content are in the block.
func (a *ahead) next() (block, error) {
	if a.ctx.Err() == nil {
		select {
		case b := <-a.full:
			return b, nil
		case <-a.ctx.Done():
		}
	}
	return block{}, context.Cause(a.ctx)
}

func (a *ahead) release(buf []byte) { a.free <- buf }

// close ends the reading, waits for its end and closes the file.
func (a *ahead) close() error {
	a.cancel(os.ErrClosed)
	<-a.done
	return a.content.Close()
}

func (a *ahead) run() {
	defer close(a.done)
	for {
		select {
		case buf := <-a.free:
			b := a.fill(buf)
			a.full <- b // has room for all blocks
			if b.err != nil {
				return
			}
		case <-a.ctx.Done():
			return
		}
	}
}

// fill reads one block. A buffer is made when it is first needed.
func (a *ahead) fill(buf []byte) block {
	if buf == nil {
		buf = make([]byte, headroom+blockSize)
	}
	b := block{buf: buf, end: headroom}
	for idle := 0; b.end < len(buf) && b.err == nil; idle++ {
		var n int
		n, b.err = a.content.Read(buf[b.end:])
		if b.end += n; n > 0 {
			idle = 0
		} else if idle == 100 && b.err == nil {
			b.err = io.ErrNoProgress
		}
	}
	return b
}
