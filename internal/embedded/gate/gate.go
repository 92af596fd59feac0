package gate

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"profjob/internal/embedded/kineto"
)

const (
	minFree      = 256 << 20 // bytes on the root's disk, to be armed at all
	keptSessions = 64        // ended ones whose files are served
)

// Config is the server that a gate is in.
type Config struct {
	// Root is where files go: absolute, or empty for a folder under /tmp.
	Root string
	// VLLM, Torch and Python are the versions told.
	VLLM, Torch, Python string
	// MaxNumBatchedTokens and MaxNumSeqs are the scheduler's limits.
	MaxNumBatchedTokens, MaxNumSeqs int
	// Hooks are the methods of vLLM's worker that the plugin would wrap.
	Hooks []string
	// Ray says that passes have a thread of their own, as in vLLM's older Ray
	// executor: only a pass can end a window.
	Ray bool
	// Host and Meta are what traces say of the process.
	Host string
	Meta kineto.Meta
	// OthersRecord tells whether another profiler records. It is called in the
	// goroutine that runs the passes.
	OthersRecord func() bool
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// Free tells the bytes left on a folder's disk; nil asks the system.
	Free func(dir string) (int64, error)
	// Logger gets what went wrong; nil means nobody.
	Logger hclog.Logger
}

// Gate is the gate of one engine core. A nil Gate is none: nothing happens.
//
// Before, Recorder, Sampled, Check and Due are the loop's that runs the passes.
// Everything else may be called between two passes only, by way of that loop.
type Gate struct {
	config Config

	mu      sync.Mutex
	passes  int64
	session *session // armed or recording
	ids     []string // of ended, the oldest first
	ended   map[string]*session
	writers sync.WaitGroup
}

// New makes a gate that nobody has armed.
func New(c Config) *Gate {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Free == nil {
		c.Free = freeBytes
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.OthersRecord == nil {
		c.OthersRecord = func() bool { return false }
	}
	return &Gate{config: c, ended: map[string]*session{}}
}

// Before is called at the start of every pass, idle ones too.
func (g *Gate) Before(p Pass) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passes++
	if g.session == nil {
		return
	}
	g.session.before(g.passes, p)
	g.settle()
}

// Recorder is what the pass is to be recorded by; nil while nothing records.
func (g *Gate) Recorder() *kineto.Recorder {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session == nil {
		return nil
	}
	return g.session.recorder
}

// Sampled is called once the tokens of a pass are sampled, and nothing of it is
// recorded any more.
func (g *Gate) Sampled() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session == nil {
		return
	}
	g.session.sampled()
	g.settle()
}

// Check ends between two passes what is due.
func (g *Gate) Check() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.check()
}

func (g *Gate) check() {
	if g.session != nil {
		g.session.check(g.config.Now())
		g.settle()
	}
}

// Due is in how long Check has something to do; ok is false where it never has.
func (g *Gate) Due() (d time.Duration, ok bool) {
	if g == nil {
		return 0, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session == nil || g.session.stopAsked != "" {
		return 0, false
	}
	return max(g.session.deadline().Sub(g.config.Now()), 0), true
}

// Close waits for files that are being written. A recording that is on is lost.
func (g *Gate) Close() {
	if g != nil {
		g.writers.Wait()
	}
}

// settle moves a session that is over out of the way of the passes.
func (g *Gate) settle() {
	s := g.session
	if s == nil || s.on() {
		return
	}
	g.session = nil
	if s.endedBy == abort {
		return
	}
	g.ids = append(g.ids, s.request.session)
	g.ended[s.request.session] = s
	for len(g.ids) > keptSessions {
		delete(g.ended, g.ids[0])
		g.ids = g.ids[1:]
	}
}

func (g *Gate) find(id string) *session {
	if g.session != nil && g.session.request.session == id {
		return g.session
	}
	return g.ended[id]
}

// arm opens the gate for a session from the next pass on. An arming that is
// refused leaves nothing armed under the session's name, not even an earlier one
// of that name: whoever is refused may rely on that.
func (g *Gate) arm(r *request) (*session, *refusal) {
	if refused := g.ready(r); refused != nil {
		if g.session != nil && g.session.request.session == r.session {
			g.session.end(abort, g.config.Now())
			g.settle()
		}
		return nil, refused
	}
	g.session = newSession(g, r, g.passes+1, g.config.Now())
	return g.session, nil
}

// ready says why a request cannot be met, in the plugin's order.
func (g *Gate) ready(r *request) *refusal {
	if g.session != nil {
		return &refusal{status: http.StatusConflict, code: "busy", message: fmt.Sprintf("session %s is armed", g.session.request.session)}
	}
	if g.ended[r.session] != nil {
		return bad("session", "%s was used already", r.session)
	}
	if g.config.OthersRecord() {
		return &refusal{status: http.StatusConflict, code: "busy", message: "the server's own profiler, or another, is recording in this worker"}
	}
	if most := int64(g.config.MaxNumBatchedTokens); most > 0 && r.window.threshold > most {
		return bad("window.threshold", "%d is more than this server's max_num_batched_tokens, %d: no step has so many", r.window.threshold, most)
	}
	if refused := g.room(); refused != nil {
		return refused
	}
	if slices.Contains(r.activities, "device") {
		return bad("activities", "this server has no device that torch's profiler knows")
	}
	return nil
}

// room checks where the file is to go.
func (g *Gate) room() *refusal {
	root, err := openRoot(g.config.Root)
	if err != nil {
		return workerError(err)
	}
	free, err := g.config.Free(root)
	if err != nil {
		return workerError(err)
	}
	if free < minFree {
		return &refusal{status: http.StatusInsufficientStorage, code: "disk",
			message: fmt.Sprintf("%s has %d bytes left, less than %d", root, free, int64(minFree))}
	}
	return nil
}

func workerError(err error) *refusal {
	return &refusal{status: http.StatusInternalServerError, code: "worker", message: "OSError: " + err.Error()}
}

// write writes a finished recording beside the passes.
func (g *Gate) write(s *session, t *kineto.Trace) {
	meta := g.config.Meta
	meta.Keys = []kineto.Key{
		{Name: "profjob_gate", Value: version}, {Name: "profjob_session", Value: s.request.session},
		{Name: "profjob_core", Value: 0}, {Name: "profjob_rank", Value: 0}, {Name: "profjob_file", Value: s.name},
	}
	name := s.name
	g.writers.Go(func() {
		began := g.config.Now()
		root, err := openRoot(g.config.Root)
		var f file
		if err == nil {
			f, err = writeTrace(root, name, t, meta)
		}
		g.written(s, f, err, g.config.Now().Sub(began))
	})
}

func (g *Gate) written(s *session, f file, err error, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		s.fail("write the trace: " + err.Error())
		return
	}
	s.files, s.cost.Write = []file{f}, took.Seconds()
	s.state = disarmed
	if s.endedBy == "steps" || s.endedBy == "duration" {
		s.state = done
	}
}

// remove deletes a file that a session lists, and says whether it lists it.
func (g *Gate) remove(s *session, name string) bool {
	i := slices.IndexFunc(s.files, func(f file) bool { return f.Name == name })
	if i < 0 {
		return false
	}
	if root, err := openRoot(g.config.Root); err == nil {
		_ = os.Remove(filepath.Join(root, name)) // gone is what it is to be
	}
	s.files = slices.Delete(slices.Clone(s.files), i, i+1)
	return true
}
