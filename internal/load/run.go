package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Run is a load in progress. Its methods are safe for concurrent use.
type Run struct {
	config  Config
	client  *client
	prompts prompts
	model   []byte // JSON, nil to leave it out

	cancel  context.CancelFunc
	records chan Record
	done    chan struct{}

	mu    sync.Mutex
	stats Stats
}

// Stats is how far a load has come.
type Stats struct {
	StartedAt time.Time
	// Started is the number of requests sent: InFlight + Completed + Failed + Cancelled.
	Started   uint64
	InFlight  int
	Completed uint64 // ended well
	Failed    uint64
	Cancelled uint64 // in flight when the load was stopped
	// NotSent counts the arrivals of an open loop that found Config.MaxInFlight requests in flight. They have no record.
	NotSent uint64
	// LastError is the error of the request that failed last. Empty: none did.
	LastError string
	// FirstCompleted and LastCompleted are when a request ended well for the first and for the last time; zero before.
	FirstCompleted, LastCompleted time.Time
}

// Start begins a load, which goes on until ctx ends, [Run.Stop] is called, or
// Config.Requests were sent and answered.
//
// A dataset is JSON lines: each line is an object with "prompt", a string or an
// array of token ids, or "messages", an array as the chat API has it; and, if it
// likes, "output_tokens". Other fields are let pass, empty lines too. A string
// is sent to the chat API as the one message of a user. Its errors name the line.
//
// Sink gets the record of every request once, when the request has ended, from one
// goroutine at a time. It must not call Stop. A sink that is much slower than the
// load holds the load up.
func Start(ctx context.Context, config Config, sink func(Record)) (*Run, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	prompts, err := newPrompts(config)
	if err != nil {
		return nil, err
	}
	var model []byte
	if config.Model != "" {
		if model, err = json.Marshal(config.Model); err != nil {
			return nil, fmt.Errorf("load: model name: %w", err)
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("load: %w", context.Cause(ctx))
	}
	transport, closeIdle, err := transportOf(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &Run{
		config:  config,
		client:  newClient(config, transport),
		prompts: prompts,
		model:   model,
		cancel:  cancel,
		records: make(chan Record, 1024),
		done:    make(chan struct{}),
		stats:   Stats{StartedAt: time.Now()},
	}
	go r.supervise(ctx, sink, closeIdle)
	return r, nil
}

func newPrompts(c Config) (prompts, error) {
	switch {
	case c.Dataset != "":
		d, err := loadDataset(c.Dataset, c.API)
		if err != nil {
			return nil, err
		}
		return d, nil
	case c.API == Chat:
		return randomWords{seed: c.Seed, length: c.Input}, nil
	}
	return randomTokens{seed: c.Seed, length: c.Input}, nil
}

// transportOf gives the transport, and what ends its idle connections if it is the load's own.
func transportOf(c Config) (http.RoundTripper, func(), error) {
	if c.Transport != nil {
		return c.Transport, func() {}, nil
	}
	secure, err := c.Access.TLS.Config()
	if err != nil {
		return nil, nil, fmt.Errorf("load: %w", err)
	}
	transport := newTransport(max(c.Concurrency, min(c.MaxInFlight, DefaultMaxInFlight)), secure)
	return transport, transport.CloseIdleConnections, nil
}

// supervise owns every goroutine of the load and ends after the last of them.
func (r *Run) supervise(ctx context.Context, sink func(Record), closeIdle func()) {
	defer close(r.done)
	defer r.cancel()
	var sinking sync.WaitGroup
	sinking.Go(func() {
		for record := range r.records {
			sink(record)
		}
	})
	if r.config.Rate > 0 {
		r.openLoop(ctx, newGammaPacer(r.config.Rate, r.config.Burstiness, r.config.Seed))
	} else {
		r.closedLoop(ctx)
	}
	close(r.records)
	sinking.Wait()
	closeIdle()
}

// Stats gives how far the load has come. A request is counted as ended just before its record goes to the sink.
func (r *Run) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Stop ends the load: requests in flight are cancelled, and recorded so. It returns
// when everything has ended and the sink has every record. It may be called again.
func (r *Run) Stop() {
	r.cancel()
	<-r.done
}

// Done is closed when the load has ended, in whatever way, and the sink has every record.
func (r *Run) Done() <-chan struct{} { return r.done }

// errLastSent ends the load's loops when Config.Requests were sent.
var errLastSent = errors.New("all requests sent")

// errFull says that Config.MaxInFlight requests are in flight.
var errFull = errors.New("too many requests in flight")

// admit takes the number of the next request to be sent, which counts as in flight from now on.
func (r *Run) admit() (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.config.Requests > 0 && r.stats.Started == r.config.Requests {
		return 0, errLastSent
	}
	if r.config.Rate > 0 && r.stats.InFlight >= r.config.MaxInFlight {
		r.stats.NotSent++
		return 0, errFull
	}
	seq := r.stats.Started
	r.stats.Started++
	r.stats.InFlight++
	return seq, nil
}

// request sends request number seq to an endpoint, counts and records it. It tells whether it failed.
func (r *Run) request(ctx context.Context, seq uint64, endpoint string) (failed bool) {
	record := r.measure(ctx, seq, endpoint)
	r.count(&record)
	r.records <- record
	return record.Error != ""
}

func (r *Run) measure(ctx context.Context, seq uint64, endpoint string) Record {
	p := r.prompts.prompt(seq)
	record := Record{Sequence: seq, Endpoint: endpoint, MaxTokens: p.outputTokens}
	if record.MaxTokens == 0 {
		record.MaxTokens = r.config.Output.draw(newRand(r.config.Seed, streamOutputs, seq))
	}
	if p.tokens > 0 {
		record.PromptTokens, record.PromptTokensFrom = p.tokens, FromWords
	}
	if p.exact {
		record.PromptTokensFrom = FromPrompt
	}
	body, err := requestBody(r.config.API, r.model, p, record.MaxTokens)
	if err != nil {
		record.Start = time.Now()
		record.Error = err.Error()
		return record
	}
	return r.client.do(ctx, record, body)
}

func (r *Run) count(record *Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.InFlight--
	switch {
	case record.Cancelled:
		r.stats.Cancelled++
	case record.Error != "":
		r.stats.Failed++
		r.stats.LastError = record.Error
	default:
		r.stats.Completed++
		r.stats.LastCompleted = time.Now()
		if r.stats.FirstCompleted.IsZero() {
			r.stats.FirstCompleted = r.stats.LastCompleted
		}
	}
}

// sleep waits for a duration and tells whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
