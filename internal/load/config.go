package load

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"profjob/internal/access"
)

// API is the form of the requests.
type API string

// The APIs a load can speak.
const (
	// Completions is POST /v1/completions. Random prompts are token ids of an exact number.
	Completions API = "completions"
	// Chat is POST /v1/chat/completions. Random prompts are text of about the number asked.
	Chat API = "chat"
)

// Defaults of a Config.
const (
	DefaultMaxInFlight    = 4096
	DefaultRequestTimeout = time.Hour
)

// maxTokens is the most tokens a prompt or an answer may be asked to have.
const maxTokens = 1 << 22

// TokenRange is a number of tokens, drawn evenly from [Min, Max] for each request.
type TokenRange struct {
	Min, Max int
}

// Config says what traffic to make. Exactly one of Concurrency and Rate is set.
type Config struct {
	// Endpoints are base URLs without /v1 and without credentials.
	//
	// In a closed loop each worker keeps to one endpoint, so that each endpoint has
	// its share of Concurrency in flight; with fewer workers than endpoints every
	// worker goes round them. In an open loop requests go to the endpoints in turn.
	Endpoints []string
	// Model is sent with each request. Empty: the field is left out, which vLLM
	// (0.11 on) and SGLang take as the model that they serve.
	Model string
	// API is Completions where empty.
	API API
	// Access is shown to every endpoint. It is in no record and no error.
	Access access.Access

	// Concurrency is the number of requests in flight over all endpoints (closed loop).
	Concurrency int
	// Rate is requests a second over all endpoints (open loop).
	Rate float64
	// Burstiness shapes the arrivals of an open loop as in vLLM's benchmark: the
	// times between them have a gamma distribution of this shape. 1 (and 0) is a
	// Poisson process; below 1 is more bursty, above is more regular, +Inf is a
	// constant interval.
	Burstiness float64
	// MaxInFlight bounds an open loop: an arrival that finds as many requests in
	// flight is counted in Stats.NotSent and not sent. 0: DefaultMaxInFlight.
	MaxInFlight int

	// Input is the length of random prompts in tokens; it is not read where Dataset is set.
	Input TokenRange
	// Output is the number of tokens asked for, where the dataset doesn't say it.
	Output TokenRange
	// Dataset is the path of a JSON lines file of prompts, used in its order and
	// again from its start when it ends. Empty: random prompts. See [Start] for its form.
	Dataset string
	// Seed and the number of a request decide its prompt and its output length;
	// Seed decides the arrivals of an open loop.
	Seed uint64

	// Requests ends the load by itself after so many were sent. 0: it goes on until it is stopped.
	Requests uint64
	// RequestTimeout is for a whole request, until the end of its answer. 0: DefaultRequestTimeout.
	RequestTimeout time.Duration
	// Transport sends the requests. Nil: one of the load's own, HTTP/1.1 with a
	// connection for each request in flight, the environment's proxies, and Access.TLS.
	Transport http.RoundTripper
}

// withDefaults gives the configuration with every default filled in.
func (c Config) withDefaults() Config {
	if c.API == "" {
		c.API = Completions
	}
	if c.Burstiness == 0 {
		c.Burstiness = 1
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = DefaultRequestTimeout
	}
	return c
}

// Validate tells everything that is wrong with the values, joined. It reads no file.
func (c Config) Validate() error {
	c = c.withDefaults()
	errs := []error{c.validateEndpoints(), c.validatePace()}
	if c.API != Completions && c.API != Chat {
		errs = append(errs, fmt.Errorf("api is %q; it must be %q or %q", c.API, Completions, Chat))
	}
	errs = append(errs, c.Access.Check())
	if c.Dataset == "" {
		errs = append(errs, c.Input.validate("input tokens"))
	}
	errs = append(errs, c.Output.validate("output tokens"))
	if c.RequestTimeout < 0 {
		errs = append(errs, fmt.Errorf("request timeout is %s; it must not be negative", c.RequestTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}

func (c Config) validateEndpoints() error {
	if len(c.Endpoints) == 0 {
		return errors.New("no endpoint")
	}
	var errs []error
	for _, endpoint := range c.Endpoints {
		errs = append(errs, validateEndpoint(endpoint))
	}
	return errors.Join(errs...)
}

func validateEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		// url.Error repeats what it could not parse, credentials included.
		return errors.New("an endpoint is not a URL")
	case u.User != nil:
		return fmt.Errorf("endpoint %s: credentials in a URL end up in records; use a bearer token", u.Redacted())
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("endpoint %q: it must start with http:// or https://", endpoint)
	case u.Host == "":
		return fmt.Errorf("endpoint %q: no host", endpoint)
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("endpoint %q: it must have no query and no fragment", endpoint)
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/v1"):
		return fmt.Errorf("endpoint %q: leave out /v1, it is added", endpoint)
	}
	return nil
}

func (c Config) validatePace() error {
	var errs []error
	if (c.Concurrency != 0) == (c.Rate != 0) {
		errs = append(errs, errors.New("exactly one of concurrency and rate must be set"))
	}
	if c.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("concurrency is %d; it must be positive", c.Concurrency))
	}
	if c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) {
		errs = append(errs, fmt.Errorf("rate is %v; it must be a positive number", c.Rate))
	}
	if !(c.Burstiness > 0) {
		errs = append(errs, fmt.Errorf("burstiness is %v; it must be positive", c.Burstiness))
	}
	if c.MaxInFlight < 0 {
		errs = append(errs, fmt.Errorf("most requests in flight is %d; it must be positive", c.MaxInFlight))
	}
	return errors.Join(errs...)
}

func (r TokenRange) validate(name string) error {
	switch {
	case r.Min < 1:
		return fmt.Errorf("%s: at least %d asked; it must be 1 or more", name, r.Min)
	case r.Max < r.Min:
		return fmt.Errorf("%s: at most %d is less than at least %d", name, r.Max, r.Min)
	case r.Max > maxTokens:
		return fmt.Errorf("%s: at most %d asked, over the limit of %d", name, r.Max, maxTokens)
	}
	return nil
}
