package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

// What callers tell apart, beside engine.ErrUnreachable.
var (
	// ErrAbsent: the server answers, but has no gate.
	ErrAbsent = errors.New("the server has no gate")
	// ErrProtocol: the server's gate is of a version that speaks another protocol.
	ErrProtocol = errors.New("the gate speaks another protocol")
	// ErrSecret: the secret is missing or wrong.
	ErrSecret = errors.New("the gate refused the secret")
	// ErrBusy: another session is armed, or another profiler records. Nothing of ours is armed.
	ErrBusy = errors.New("the gate is busy")
	// ErrRequest: the request cannot be met as it is put; Field names what is wrong. Nothing is armed.
	ErrRequest = errors.New("the gate refused the request")
	// ErrSession: no worker knows the session, or it lists no such file.
	ErrSession = errors.New("not known to the gate")
	// ErrServer: a worker or an engine core could not do it. Workers says which.
	ErrServer = errors.New("the server could not do it")
)

// Error is a refusal by the gate.
type Error struct {
	Op      string
	URL     string
	Status  int    // HTTP
	Code    string // the gate's
	Field   string // of the request, if it is at fault: "window.steps"
	Message string
	Workers []Worker // those that refused or failed
	Err     error    // one of this package's errors
}

// Error tells the operation, the URL and what the gate said.
func (e *Error) Error() string {
	msg := fmt.Sprintf("%s: %s answered %d: %s", e.Op, e.URL, e.Status, e.Err)
	if e.Message != "" {
		msg += ": " + e.Message
	}
	for i := 1; i < len(e.Workers); i++ { // the message speaks of the first
		w := e.Workers[i]
		msg += fmt.Sprintf("; core %d rank %d: %s", w.Core, w.Rank, w.Error)
	}
	return msg
}

// Unwrap gives the error of this package that the answer stands for.
func (e *Error) Unwrap() error { return e.Err }

// NothingArmed tells of an error of Arm whether it proves that nothing is
// armed. After any other the session has to be disarmed.
func NothingArmed(err error) bool {
	for _, proof := range []error{ErrAbsent, ErrProtocol, ErrSecret, ErrBusy, ErrRequest, engine.ErrUnreachable} {
		if errors.Is(err, proof) {
			return true
		}
	}
	return false
}

// Text is one line of a server's words.
type Text string

// UnmarshalJSON takes a string, or an object with a message.
func (t *Text) UnmarshalJSON(data []byte) error {
	var object struct {
		Message string `json:"message"`
	}
	var text *string
	if err := json.Unmarshal(data, &text); err == nil {
		if text != nil {
			*t = Text(exchange.Line([]byte(*text), ""))
		}
		return nil
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("error of a worker: %w", err)
	}
	*t = Text(exchange.Line([]byte(object.Message), ""))
	return nil
}

// refusal makes the error of an answer that is no success.
func refusal(a *exchange.Answer, secrets []string) error {
	var body struct {
		Error struct {
			Code    string   `json:"code"`
			Message string   `json:"message"`
			Field   string   `json:"field"`
			Workers []Worker `json:"workers"`
		} `json:"error"`
	}
	e := &Error{Op: a.Op, URL: a.URL, Status: a.Status}
	if err := json.Unmarshal(a.Body, &body); err != nil || body.Error.Code == "" || body.Error.Message == "" {
		// not the gate's: vLLM's own 404 is {"detail":"Not Found"}
		e.Err, e.Message = ErrServer, a.Said()
		if a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed {
			e.Err = ErrAbsent
		}
		return e
	}
	e.Code, e.Field, e.Workers = body.Error.Code, exchange.Line([]byte(body.Error.Field), secrets...), body.Error.Workers
	e.Message = exchange.Line([]byte(body.Error.Message), secrets...)
	e.Err = meaning(e)
	return e
}

func meaning(e *Error) error {
	switch {
	case e.Code == "unauthorized":
		return ErrSecret
	case e.Code == "busy":
		return ErrBusy
	case e.Code == "not_found":
		return ErrSession
	case e.Field == "protocol":
		return ErrProtocol
	case strings.HasPrefix(e.Code, "bad_") || e.Code == "range" || e.Code == "too_large":
		return ErrRequest
	default:
		return ErrServer
	}
}
