package load

import (
	"math"
	"strings"
	"testing"
	"time"
)

func validConfig() Config {
	return Config{
		Endpoints:   []string{"http://127.0.0.1:8000"},
		Concurrency: 1,
		Input:       TokenRange{Min: 16, Max: 16},
		Output:      TokenRange{Min: 4, Max: 4},
	}
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"as it is":        func(*Config) {},
		"rate":            func(c *Config) { c.Concurrency, c.Rate, c.Burstiness = 0, 0.5, math.Inf(1) },
		"dataset":         func(c *Config) { c.Dataset, c.Input = "x.jsonl", TokenRange{} },
		"path and slash":  func(c *Config) { c.Endpoints = []string{"https://proxy/model-a/", "http://[::1]:8000"} },
		"chat":            func(c *Config) { c.API = Chat },
		"request timeout": func(c *Config) { c.RequestTimeout = time.Second },
	} {
		c := validConfig()
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateErrors(t *testing.T) {
	tests := []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Endpoints = nil }, "no endpoint"},
		{func(c *Config) { c.Endpoints = []string{"localhost:8000"} }, "it must start with http:// or https://"},
		{func(c *Config) { c.Endpoints = []string{"http:///x"} }, "no host"},
		{func(c *Config) { c.Endpoints = []string{"http://a:8000/v1/"} }, "leave out /v1"},
		{func(c *Config) { c.Endpoints = []string{"http://a:8000?x=1"} }, "no query"},
		{func(c *Config) { c.Endpoints = []string{"http://user:geheim@a:8000"} }, "http://user:xxxxx@a:8000: credentials"},
		{func(c *Config) { c.Endpoints = []string{"http://user:geheim@a:port"} }, "not a URL"},
		{func(c *Config) { c.Rate = 1 }, "exactly one of concurrency and rate"},
		{func(c *Config) { c.Concurrency = 0 }, "exactly one of concurrency and rate"},
		{func(c *Config) { c.Concurrency = -1 }, "concurrency is -1"},
		{func(c *Config) { c.Concurrency, c.Rate = 0, -2 }, "rate is -2"},
		{func(c *Config) { c.Concurrency, c.Rate = 0, math.NaN() }, "rate is NaN"},
		{func(c *Config) { c.Concurrency, c.Rate = 0, math.Inf(1) }, "rate is +Inf"},
		{func(c *Config) { c.Burstiness = -1 }, "burstiness is -1"},
		{func(c *Config) { c.Burstiness = math.NaN() }, "burstiness is NaN"},
		{func(c *Config) { c.MaxInFlight = -1 }, "most requests in flight is -1"},
		{func(c *Config) { c.API = "responses" }, `api is "responses"`},
		{func(c *Config) { c.Access.Bearer = "geheim\nx" }, "the bearer token holds a character"},
		{func(c *Config) { c.Input = TokenRange{} }, "input tokens: at least 0 asked"},
		{func(c *Config) { c.Output = TokenRange{Min: 5, Max: 4} }, "output tokens: at most 4 is less than at least 5"},
		{func(c *Config) { c.Output = TokenRange{Min: 5, Max: maxTokens + 1} }, "over the limit of 4194304"},
		{func(c *Config) { c.RequestTimeout = -1 }, "request timeout is -1ns"},
	}
	for _, test := range tests {
		c := validConfig()
		test.change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %q", err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("a secret is in the error: %v", err)
		}
	}
}

func TestValidateTellsAllErrors(t *testing.T) {
	err := Config{API: "x", Endpoints: []string{"a", "b"}}.Validate()
	for _, want := range []string{`endpoint "a"`, `endpoint "b"`, "exactly one of", "api is", "input tokens", "output tokens"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error: %v", want, err)
		}
	}
}
