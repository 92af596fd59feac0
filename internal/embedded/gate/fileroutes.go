package gate

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// find gives a file that a session lists.
func (f *Front) find(r *http.Request) (id string, found file, refused *refusal) {
	id, refused = sessionOf(r)
	if refused != nil {
		return "", file{}, refused
	}
	got, _, err := f.ask(id, f.renewed)
	found, ok := got.listed(last(r, "name"))
	if err != nil || !ok {
		return "", file{}, &refusal{status: http.StatusNotFound, code: "not_found", message: fmt.Sprintf("the session %s lists no such file", id)}
	}
	return id, found, nil
}

func (f *Front) file(w http.ResponseWriter, r *http.Request) (any, *refusal) {
	_, found, refused := f.find(r)
	if refused != nil {
		return nil, refused
	}
	asked := r.Header.Get("Range")
	if asked == "" {
		asked = last(r, "range")
	}
	first, last, refused := byteRange(asked, found.Size)
	if refused != nil {
		return nil, refused
	}
	data, err := f.open(found.Name, first)
	if err != nil {
		return nil, &refusal{status: http.StatusInternalServerError, code: "gate", message: "OSError: " + err.Error()}
	}
	defer data.Close()
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(last-first+1, 10))
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", `"`+found.SHA256+`"`)
	h.Set("Content-Type", "application/octet-stream")
	status := http.StatusOK
	if asked != "" {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, found.Size))
	}
	w.WriteHeader(status)
	_, _ = io.CopyN(w, data, last-first+1) // a body that is too short tells the client
	return nil, nil
}

// open opens a file of the root at an offset.
func (f *Front) open(name string, at int64) (*os.File, error) {
	root, err := openRoot(f.gate.config.Root)
	if err != nil {
		return nil, err
	}
	data, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	if _, err := data.Seek(at, io.SeekStart); err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return data, nil
}

func (f *Front) remove(_ http.ResponseWriter, r *http.Request) (any, *refusal) {
	id, found, refused := f.find(r)
	if refused != nil {
		return nil, refused
	}
	deleted := false
	_, _, err := f.ask(id, func(s *session) { deleted = f.gate.remove(s, found.Name) })
	return map[string]any{"session": id, "name": found.Name, "deleted": deleted && err == nil}, nil
}
