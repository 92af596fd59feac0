package gate

import (
	"fmt"
	"net/http"
)

func (f *Front) hello(http.ResponseWriter, *http.Request) (any, *refusal) {
	var worker any
	err := f.between(func() error {
		f.gate.mu.Lock()
		defer f.gate.mu.Unlock()
		f.gate.check()
		s, refused := f.gate.hello()
		worker = s
		if refused != nil {
			worker = struct {
				identity
				Status int `json:"status"`
				Error  any `json:"error"`
			}{f.gate.identity(), refused.status, refused.body().(map[string]any)["error"]}
		}
		return nil
	})
	if err != nil {
		worker = dead(err)
	}
	c := f.gate.config
	return map[string]any{
		"gate": version, "protocol": protocol, "vllm": c.VLLM, "python": c.Python, "torch": c.Torch, "api_pid": c.Meta.PID,
		"limits":  map[string]any{"max_steps": hardSteps, "max_seconds": hardSeconds, "max_bytes": int64(hardBytes), "max_lease_s": maxLease},
		"can":     []string{"steps", "duration", "threshold", "at_most", "phase", "all", "skip_requests", "delay", "ranges", "delete"},
		"workers": []any{worker},
	}, nil
}

// dead is what a worker of a dead engine core is told as.
func dead(err error) trouble {
	return trouble{Status: http.StatusServiceUnavailable, Error: map[string]string{"code": "engine", "message": "EngineDeadError: " + err.Error()}}
}

func (f *Front) arm(w http.ResponseWriter, r *http.Request) (any, *refusal) {
	body, refused := readBody(w, r)
	if refused != nil {
		return nil, refused
	}
	wanted, refused := parseArm(body)
	if refused != nil {
		return nil, refused
	}
	var got progress
	err := f.between(func() error {
		f.gate.mu.Lock()
		defer f.gate.mu.Unlock()
		f.gate.check()
		var s *session
		if s, refused = f.gate.arm(wanted); refused == nil {
			got = f.gate.status(s)
		} else {
			refused = f.gate.named(refused)
		}
		return nil
	})
	if err != nil {
		return nil, &refusal{status: http.StatusServiceUnavailable, code: "engine", message: "core 0 rank None: EngineDeadError: " + err.Error()}
	}
	if refused != nil {
		return nil, refused
	}
	return report(got), nil
}

// named says which worker refused.
func (g *Gate) named(r *refusal) *refusal {
	i := g.identity()
	r.workers = []brief{{Host: i.Host, PID: i.PID, Passes: i.Passes, Error: r.message}}
	if r.code != "bad_request" {
		r.message = "core 0 rank 0: " + r.message
	}
	return r
}

// report is what a caller is told of a session.
func report(p progress) any {
	return map[string]any{"protocol": protocol, "session": p.Session, "state": p.State, "workers": []progress{p}}
}

// watched does something to a session and reports on it.
func (f *Front) watched(id string, do func(*session)) (any, *refusal) {
	got, known, err := f.ask(id, do)
	if err != nil {
		t := dead(err)
		t.State, t.Error = failed, "EngineDeadError: "+err.Error()
		return map[string]any{"protocol": protocol, "session": id, "state": failed, "workers": []trouble{t}}, nil
	}
	if !known {
		return nil, &refusal{status: http.StatusNotFound, code: "not_found", message: fmt.Sprintf("no worker knows the session %s", id)}
	}
	return report(got), nil
}

// ask does something to a session between two passes and says how it is then.
func (f *Front) ask(id string, do func(*session)) (got progress, known bool, err error) {
	err = f.between(func() error {
		f.gate.mu.Lock()
		defer f.gate.mu.Unlock()
		f.gate.check()
		s := f.gate.find(id)
		if s == nil {
			return nil
		}
		do(s)
		f.gate.settle()
		got, known = f.gate.status(s), true
		return nil
	})
	return got, known, err
}

// renewed is what asking does to a session.
func (f *Front) renewed(s *session) { s.renew(f.gate.config.Now(), nil) }

func (f *Front) status(_ http.ResponseWriter, r *http.Request) (any, *refusal) {
	id, refused := sessionOf(r)
	if refused != nil {
		return nil, refused
	}
	return f.watched(id, f.renewed)
}

func (f *Front) renew(w http.ResponseWriter, r *http.Request) (any, *refusal) {
	body, refused := readBody(w, r)
	if refused != nil {
		return nil, refused
	}
	fields := newFields(body)
	id, lease := fields.text("session"), fields.seconds("lease_s", 1, maxLease)
	fields.end()
	if id == nil {
		fields.fail(bad("session", "missing"))
	}
	if refused := fields.failed(); refused != nil {
		return nil, refused
	}
	return f.watched(*id, func(s *session) { s.renew(f.gate.config.Now(), lease) })
}

func (f *Front) disarm(w http.ResponseWriter, r *http.Request) (any, *refusal) {
	body, refused := readBody(w, r)
	if refused != nil {
		return nil, refused
	}
	fields := newFields(body)
	id := fields.text("session")
	fields.end()
	if id == nil {
		fields.fail(bad("session", "missing"))
	}
	if refused := fields.failed(); refused != nil {
		return nil, refused
	}
	return f.watched(*id, func(s *session) { s.end("disarm", f.gate.config.Now()) })
}
