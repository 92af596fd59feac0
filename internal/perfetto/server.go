// Package perfetto hands one trace to the Perfetto UI: over HTTP on the loopback, once,
// to nobody who does not know the address.
//
// The UI's address with ?url= makes it fetch a trace by a plain GET, which wants CORS
// headers (perfetto.dev/docs/visualization/deep-linking-to-perfetto-ui). Of the loopback
// its content security policy lets it fetch from port 9001 alone (Perfetto,
// tools/open_trace_in_ui). Browsers ask before a public page reads from the loopback:
// Chrome by a preflight with Access-Control-Request-Private-Network, and since 142 its
// user. The UI reads JSON, packed with gzip or not; what is packed with zstd is unpacked
// on the way.
package perfetto

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"profjob/internal/regular"
)

// UI is the address of the public Perfetto UI, and Port the one that it may fetch from.
const (
	UI   = "https://ui.perfetto.dev"
	Port = 9001
)

// zstdMemory bounds what a zstd frame may ask for.
const zstdMemory = 256 << 20

// Server serves one trace.
type Server struct {
	ui       string // origin that may read it
	listener net.Listener
	path     string // of the URL
	file     string
	packed   bool // with zstd

	once sync.Once
	done chan struct{} // closed once it was fetched whole
}

// ErrTimeout says that nobody has fetched the trace.
var ErrTimeout = errors.New("it was not fetched")

// Listen opens a trace and begins to listen; port 0 is a free one, which the public UI
// may not fetch from. ui is the origin of a UI, as [UI]. Close ends it; Serve does, too.
func Listen(file, ui string, port int) (*Server, error) {
	packed, err := isZstd(file)
	if err != nil {
		return nil, err
	}
	var token [16]byte
	if _, err := rand.Read(token[:]); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen for the browser: %w", err)
	}
	return &Server{ui: ui, listener: listener, file: file, packed: packed, done: make(chan struct{}),
		path: "/" + hex.EncodeToString(token[:]) + "/" + urlName(file, packed)}, nil
}

func isZstd(file string) (bool, error) {
	f, err := regular.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close() // it is only read
	var magic [4]byte
	_, err = io.ReadFull(f, magic[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return bytes.Equal(magic[:], []byte{0x28, 0xb5, 0x2f, 0xfd}), nil
}

var unplain = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// urlName is the name of the trace, which the UI shows, as it can stand in any URL.
func urlName(file string, packed bool) string {
	name := filepath.Base(file)
	if packed {
		name = strings.TrimSuffix(name, ".zst")
	}
	return unplain.ReplaceAllString(name, "-")
}

// URL is where the trace is served.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + s.path }

// Link opens the trace in the UI.
func (s *Server) Link() string { return s.ui + "/#!/?url=" + s.URL() }

// Close ends listening.
func (s *Server) Close() error { return s.listener.Close() }

// Serve returns nil once the trace was fetched whole, [ErrTimeout] where that has not
// happened within some time, and the cause of ctx where that ends before. A fetch that
// goes on at that time is cut off.
func (s *Server) Serve(ctx context.Context, timeout time.Duration) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(io.Discard, "", 0)} // what a browser does wrong is not for the terminal
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.listener) }()
	patience := time.NewTimer(timeout)
	defer patience.Stop()
	var err error
	select {
	case <-s.done:
		// What was written may still be on its way out of the process.
		flushed, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if server.Shutdown(flushed) == nil {
			<-failed
			return nil
		}
	case <-patience.C:
		err = ErrTimeout
	case <-ctx.Done():
		err = context.Cause(ctx)
	case err = <-failed:
		return fmt.Errorf("serve the trace: %w", err)
	}
	closeErr := server.Close()
	<-failed
	return errors.Join(err, closeErr)
}

// ServeHTTP answers the browser.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	switch {
	case r.Host != s.listener.Addr().String(): // a name that was made to lead to the loopback
		http.Error(w, "the host is not this server's", http.StatusForbidden)
		return
	case origin != "" && origin != s.ui:
		http.Error(w, "the origin is not the Perfetto UI", http.StatusForbidden)
		return
	case r.URL.Path != s.path:
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", s.ui)
	h.Set("Vary", "Origin")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch r.Method {
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD")
		h.Set("Access-Control-Allow-Headers", "Range")
		if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h.Set("Access-Control-Allow-Private-Network", "true")
		}
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		s.trace(w, r)
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
	}
}

// trace sends the trace, and notes if all of it was sent.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	f, err := regular.Open(s.file)
	if err != nil {
		http.Error(w, "the trace is not there any more", http.StatusGone)
		return
	}
	defer f.Close() // it is only read
	w.Header().Set("Content-Type", "application/octet-stream")
	if s.packed {
		s.unpacked(w, r, f)
		return
	}
	info, err := f.Stat()
	if err != nil {
		http.Error(w, "the trace cannot be read", http.StatusInternalServerError)
		return
	}
	sent := &counting{ResponseWriter: w}
	http.ServeContent(sent, r, "", time.Time{}, f)
	if r.Method == http.MethodGet && sent.status == http.StatusOK && sent.bytes == info.Size() {
		s.fetched()
	}
}

// unpacked sends what a file packed with zstd holds. Its size is not known before.
func (s *Server) unpacked(w http.ResponseWriter, r *http.Request, f *os.File) {
	if r.Method == http.MethodHead {
		return
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(zstdMemory), zstd.WithDecoderMaxWindow(zstdMemory))
	if err != nil {
		http.Error(w, "the trace cannot be unpacked", http.StatusInternalServerError)
		return
	}
	defer z.Close()
	if _, err := io.Copy(w, z); err != nil {
		panic(http.ErrAbortHandler) // the browser must not take what it has for all of it
	}
	s.fetched()
}

func (s *Server) fetched() { s.once.Do(func() { close(s.done) }) }

// counting counts what is sent.
type counting struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *counting) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}
