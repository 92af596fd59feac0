package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"profjob/internal/engine/exchange"
)

const (
	// chunk is how much of a file is asked for at once, in bytes. It is kept in memory.
	chunk       = 16 << 20
	fileTimeout = 5 * time.Minute // a chunk
	// chunkTries is how often a chunk is asked for that does not come; the pauses
	// between are 0.1 s and four times the one before: 8.5 s in all.
	chunkTries = 5
	chunkPause = 100 * time.Millisecond
)

// File writes a file that the session lists to w, and checks its size and hash.
func (c *Client) File(ctx context.Context, session string, f File, w io.Writer) error {
	r, err := c.Open(ctx, session, f, 0)
	if err != nil {
		return err
	}
	defer r.Close() // it holds nothing
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), r); err != nil {
		return fmt.Errorf("fetch %s from the gate: %w", f.Name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("fetch %s from the gate: its SHA-256 is %s, the worker that wrote it says %s", f.Name, got, exchange.Line([]byte(f.SHA256), c.secrets...))
	}
	return nil
}

// Open reads a file that the session lists, from an offset in bytes on, in chunks. One
// that does not come, as where the connection drops, is asked for again, a few times;
// what came before it is not. It sends nothing before the first Read. Whether the
// content is the worker's, the caller checks by File.SHA256.
func (c *Client) Open(ctx context.Context, session string, f File, offset int64) (io.ReadCloser, error) {
	if f.Size < 0 || !fs.ValidPath(f.Name) || f.Name == "." {
		return nil, fmt.Errorf("fetch a file from the gate: it lists %q with %d bytes, which no file is", f.Name, f.Size)
	}
	if offset < 0 {
		return nil, fmt.Errorf("fetch %s from the gate: from %d on", f.Name, offset)
	}
	return &fileReader{ctx: ctx, client: c, session: session, file: f, at: offset}, nil
}

// fileReader is a file of a gate that is being read.
type fileReader struct {
	ctx     context.Context
	client  *Client
	session string
	file    File
	at      int64  // the first byte after left
	left    []byte // of the last chunk
}

func (r *fileReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		if r.at >= r.file.Size {
			return 0, io.EOF
		}
		data, err := r.next(min(chunk, r.file.Size-r.at))
		if err != nil {
			return 0, err
		}
		r.left, r.at = data, r.at+int64(len(data))
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Close ends the reading. Nothing is open between two chunks.
func (r *fileReader) Close() error { return nil }

// next asks for the chunk that comes next until it is there.
func (r *fileReader) next(length int64) ([]byte, error) {
	for try := 0; ; try++ {
		data, err := r.client.Range(r.ctx, r.session, r.file.Name, r.at, length)
		if err == nil || refused(err) || try+1 >= chunkTries {
			return data, err
		}
		pause := time.NewTimer(chunkPause << (2 * try))
		select {
		case <-pause.C:
		case <-r.ctx.Done():
			pause.Stop()
			return nil, errors.Join(err, context.Cause(r.ctx))
		}
	}
}

// refused tells whether a gate has answered that it does not give a file: asking again
// changes nothing.
func refused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status >= 400 && e.Status < 500
}

// Range reads length bytes of a file that the session lists, from the byte first on.
func (c *Client) Range(ctx context.Context, session, name string, first, length int64) ([]byte, error) {
	a, err := c.http.Do(ctx, exchange.Request{
		Op:   "fetch " + name + " from the gate",
		Path: filePath(session, name) + fmt.Sprintf("&range=bytes=%d-%d", first, first+length-1),
		// the gate takes a Range header as well, as any other server does
		Limit: length, Timeout: fileTimeout,
	})
	if err != nil {
		return nil, err
	}
	if !a.OK() {
		return nil, refusal(a, c.secrets)
	}
	if a.Status != http.StatusPartialContent || int64(len(a.Body)) != length {
		return nil, fmt.Errorf("fetch %s from the gate: asked for %d bytes from %d on, got %d with status %d", name, length, first, len(a.Body), a.Status)
	}
	return a.Body, nil
}

func filePath(session, name string) string {
	return path + "file?" + url.Values{"session": {session}, "name": {name}}.Encode()
}
