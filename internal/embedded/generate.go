package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"profjob/internal/embedded/model"
)

// The limits of a request for completions.
const (
	maxBody    = 16 << 20 // bytes
	maxPrompts = 1024     // prompts in one request
)

// options are what both kinds of completion may say. Everything else in a body
// is ignored: sampling is greedy whatever the temperature.
type options struct {
	Model         *string `json:"model"`
	MaxTokens     *int    `json:"max_tokens"`
	MinTokens     int     `json:"min_tokens"`
	IgnoreEOS     bool    `json:"ignore_eos"`
	N             *int    `json:"n"`
	Stream        bool    `json:"stream"`
	StreamOptions *struct {
		IncludeUsage    bool `json:"include_usage"`
		ContinuousUsage bool `json:"continuous_usage_stats"`
	} `json:"stream_options"`
}

// readBody decodes a request's JSON body into v.
func readBody(w http.ResponseWriter, r *http.Request, v any) *apiError {
	if media, _, _ := strings.Cut(strings.ToLower(r.Header.Get("Content-Type")), ";"); media != "application/json" {
		e := badRequest("", "Unsupported Media Type: Only 'application/json' is allowed")
		e.Type = http.StatusText(http.StatusBadRequest)
		return e
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &apiError{
			Message: "request body: " + err.Error(),
			Type:    http.StatusText(http.StatusRequestEntityTooLarge), Code: http.StatusRequestEntityTooLarge,
		}
	}
	if err != nil {
		return badRequest("", "request body: "+err.Error())
	}
	if err := json.Unmarshal(body, v); err != nil {
		return decodeError(err)
	}
	return nil
}

// decodeError names the field that is wrong, where there is one.
func decodeError(err error) *apiError {
	param := "body"
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		param = "body." + strings.TrimPrefix(wrong.Field, "options.") // the embedded struct is ours
	}
	e := badRequest(param, fmt.Sprintf("1 validation error:\n  {'loc': '%s', 'msg': %s}", param, quotePython(err.Error())))
	e.Type = http.StatusText(http.StatusBadRequest)
	return e
}

// check checks what both kinds of completion may say against this server.
func (s *Server) check(o options) *apiError {
	if o.Model != nil && *o.Model != "" && *o.Model != s.config.Model {
		return s.unknownModel(*o.Model)
	}
	if o.N != nil && *o.N != 1 {
		return badRequest("n", fmt.Sprintf("n must be 1 on this server, got %d.", *o.N))
	}
	if o.MaxTokens != nil && *o.MaxTokens < 1 {
		return badRequest("max_tokens", fmt.Sprintf("max_tokens must be at least 1, got %d.", *o.MaxTokens))
	}
	if o.MinTokens < 0 {
		return badRequest("min_tokens", fmt.Sprintf("min_tokens must be greater than or equal to 0, got %d.", o.MinTokens))
	}
	if o.StreamOptions != nil && !o.Stream {
		return badRequest("stream_options", "Stream options can only be defined when `stream=True`.")
	}
	return nil
}

func (s *Server) unknownModel(name string) *apiError {
	e := &apiError{
		Message: fmt.Sprintf("The model `%s` does not exist.", name),
		Type:    "NotFoundError", Code: http.StatusNotFound,
	}
	if param := "model"; s.config.release() != V011 {
		e.Param = &param
	}
	if s.config.release() == V032 {
		e.Message += fmt.Sprintf(" Valid aliases: %s.", s.config.Model)
	}
	return e
}

// job is one HTTP request for completions: a choice for each prompt.
type job struct {
	options  options
	requests []*request
	events   chan event
	prompt   int // tokens of all prompts
}

// newJob makes the engine's requests, each with the room that its prompt leaves.
func newJob(o options, prompts [][]int32, room room) (*job, *apiError) {
	j := &job{options: o}
	events := 0
	for i, prompt := range prompts {
		if refused := checkPrompt(prompt); refused != nil {
			return nil, refused
		}
		tokens, refused := room(len(prompt), o.MaxTokens)
		if refused != nil {
			return nil, refused
		}
		j.requests = append(j.requests, &request{
			index: i, prompt: prompt, maxTokens: tokens, minTokens: min(o.MinTokens, tokens),
			ignoreEOS: o.IgnoreEOS, arrived: time.Now(),
		})
		j.prompt += len(prompt)
		events += tokens + 1 // a failure comes after the last token at most
	}
	j.events = make(chan event, events)
	for _, r := range j.requests {
		r.events = j.events
	}
	return j, nil
}

// usage are the token counts of an answer.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Total      int `json:"total_tokens"`
	Completion int `json:"completion_tokens"`
}

func newUsage(prompt, completion int) *usage {
	return &usage{Prompt: prompt, Total: prompt + completion, Completion: completion}
}

// form is the shape of an answer: text completions' or chat completions'.
type form interface {
	// begin gives chunks that come before the first token of a choice.
	begin(index int) []any
	// chunk is one token in a stream.
	chunk(index int, text, finish string, u *usage) any
	// last is the chunk with the usage of the whole stream.
	last(u *usage) any
	// whole is an answer that is no stream.
	whole(choices []choice, u *usage) any
}

type choice struct {
	text   strings.Builder
	finish string
	tokens int
	begun  bool
}

// answer runs a job and writes its answer. A client that goes takes its
// requests with it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, j *job, f form) {
	if err := s.engine.submit(j.requests); err != nil {
		s.engineError(w, err)
		return
	}
	if j.options.Stream {
		s.stream(r.Context(), w, j, f)
		return
	}
	choices := make([]choice, len(j.requests))
	completion := 0
	for open := len(choices); open > 0; {
		e, err := j.next(r.Context())
		if err != nil {
			s.engine.abort(j.requests)
			return
		}
		if e.err != nil {
			s.engineError(w, e.err)
			return
		}
		c := &choices[e.index]
		completion++
		if e.token != model.EOS {
			c.text.WriteString(model.Decode(e.token))
		}
		if c.finish = e.finish; e.finish != "" {
			open--
		}
	}
	writeJSON(w, http.StatusOK, f.whole(choices, newUsage(j.prompt, completion)))
}

// next waits for the next event, or for the client to go.
func (j *job) next(ctx context.Context) (event, error) {
	select {
	case e := <-j.events:
		return e, nil
	case <-ctx.Done():
		return event{}, ctx.Err()
	}
}

// stream answers with server-sent events, one a token.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, j *job, f form) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	choices := make([]choice, len(j.requests))
	completion := 0
	for open := len(choices); open > 0; {
		e, err := j.next(ctx)
		if err == nil && e.err != nil {
			_ = writeEvent(w, map[string]any{"error": deadEngine(e.err)})
			break
		}
		if err == nil {
			completion++
			err = j.send(w, f, &choices[e.index], e)
		}
		if err == nil && len(j.events) == 0 {
			err = flush.Flush()
		}
		if err != nil {
			s.engine.abort(j.requests)
			return
		}
		if e.finish != "" {
			open--
		}
	}
	if o := j.options.StreamOptions; o != nil && o.IncludeUsage {
		_ = writeEvent(w, f.last(newUsage(j.prompt, completion)))
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

// send writes one token of a choice.
func (j *job) send(w io.Writer, f form, c *choice, e event) error {
	if !c.begun {
		c.begun = true
		for _, chunk := range f.begin(e.index) {
			if err := writeEvent(w, chunk); err != nil {
				return err
			}
		}
	}
	c.tokens++
	var u *usage
	if o := j.options.StreamOptions; o != nil && o.ContinuousUsage {
		u = newUsage(len(j.requests[e.index].prompt), c.tokens)
	}
	return writeEvent(w, f.chunk(e.index, model.Decode(e.token), e.finish, u))
}

func writeEvent(w io.Writer, value any) error {
	body, err := encode(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "data: %s\n\n", body)
	return err
}

func deadEngine(err error) *apiError {
	return &apiError{Message: err.Error(), Type: "InternalServerError", Code: http.StatusInternalServerError}
}

func (s *Server) engineError(w http.ResponseWriter, err error) { writeError(w, deadEngine(err)) }

// newID gives 32 random hexadecimal digits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// reason is a finish reason as JSON: null before the end.
func reason(finish string) *string {
	if finish == "" {
		return nil
	}
	return &finish
}
