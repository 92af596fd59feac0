package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

// Server listens for one run. Close ends it.
type Server struct {
	info   string // path of the description
	socket string
	http   *http.Server
	done   chan struct{}
}

const (
	// requestTimeout bounds what a caller may take: it says one word.
	requestTimeout = 5 * time.Second
	// closeTimeout bounds how long Close waits for an answer on its way.
	closeTimeout = time.Second
)

// Listen makes the run known below the state directory dir and calls stop for
// each wish to end its window; what stop returns is told to whoever asked. stop
// is called from goroutines of the server, several at a time too, and not after
// Close has returned.
func Listen(dir string, info Info, stop func() string) (*Server, error) {
	s, err := listen(dir, info, stop)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return s, nil
}

func listen(dir string, info Info, stop func() string) (*Server, error) {
	if err := os.MkdirAll(runsDir(dir), 0o700); err != nil {
		return nil, err
	}
	// Nobody looks at the description before it has its final name, and by then the socket is there.
	f, err := os.CreateTemp(runsDir(dir), fmt.Sprintf("%d-*.tmp", info.PID)) // its mode is 0600
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(f.Name(), ".tmp")
	listener, socket, err := bind(name+socketSuffix, os.TempDir(), "/tmp")
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	info.Socket = socket
	err = errors.Join(json.NewEncoder(f).Encode(info), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name+infoSuffix)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close(), removeSocket(socket), os.Remove(f.Name()))
	}
	s := &Server{info: name + infoSuffix, socket: socket, http: newServer(stop), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // it ends with Close
	}()
	return s, nil
}

func newServer(stop func() string) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, stop()) // who asked and left has been heard all the same
	})
	return &http.Server{Handler: mux, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		ErrorLog: log.New(io.Discard, "", 0)}
}

// Close ends the server and forgets the run. Whoever has asked gets the answer first.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close() // somebody holds a connection open
	}
	<-s.done
	return errors.Join(err, forget(s.info, s.socket))
}
