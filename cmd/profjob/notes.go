package main

import (
	"fmt"
	"io"
	"sync"

	"profjob/internal/view"
)

// notes is where logs and remarks go: stderr, or, while a run has the terminal,
// the run's view, which writes them above its changing line. It may be used from
// several goroutines.
type notes struct {
	mu sync.Mutex
	to io.Writer
}

// Write hands what is written on, without what would do something to a terminal.
func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := io.WriteString(n.to, view.Printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// through sends everything through w until the function returned is called.
func (n *notes) through(w io.Writer) (restore func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.to
	n.to = w
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.to = before
	}
}

// say writes one remark.
func (n *notes) say(text string) {
	fmt.Fprintln(n, text) //nolint:errcheck // it is a remark; nobody is left to tell
}
