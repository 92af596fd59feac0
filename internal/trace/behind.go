package trace

import "io"

// behind hands what is written to it to another writer, in a goroutine of its
// own: compressing goes on beside what makes the text.
type behind struct {
	full chan []byte
	free chan []byte
	done chan struct{}
	err  error // of the other writer; read after done
}

// writeBehind begins to write to w. The caller closes what it gives.
func writeBehind(w io.Writer) *behind {
	b := &behind{full: make(chan []byte, blocks), free: make(chan []byte, blocks), done: make(chan struct{})}
	for range blocks {
		b.free <- nil
	}
	go b.run(w)
	return b
}

func (b *behind) run(w io.Writer) {
	defer close(b.done)
	for block := range b.full {
		if _, b.err = w.Write(block); b.err != nil {
			return
		}
		b.free <- block
	}
}

// Write gives the error of the other writer with what was written before.
func (b *behind) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		select {
		case block := <-b.free:
			n := min(len(rest), blockSize)
			b.full <- append(block[:0], rest[:n]...) // has room for all blocks
			rest = rest[n:]
		case <-b.done:
			return len(p) - len(rest), b.err
		}
	}
	return len(p), nil
}

// Close waits for the other writer, and gives its error. It does not close it.
func (b *behind) Close() error {
	close(b.full)
	<-b.done
	return b.err
}
