package load

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Summary is the numbers of a load: load.json. The package comment defines the times.
type Summary struct {
	Requests  int `json:"requests"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
	// NotSent is Stats.NotSent; whoever has the Run fills it in, since such arrivals have no record.
	NotSent uint64 `json:"not_sent"`

	// Start is when the first request was sent.
	Start time.Time `json:"start"`
	// Duration is in nanoseconds, from the start of the first request to the end of the last, however they ended.
	Duration int64 `json:"duration_ns"`

	// InputTokens are the prompts of requests that got a first token; OutputTokens
	// all tokens that came, of failed and cancelled requests too: a load that is
	// stopped leaves none of what the server did out. (vLLM's benchmark, which
	// doesn't stop, counts completed requests.)
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`

	// Rates are per second of Duration; RequestRate is of completed requests.
	RequestRate float64 `json:"requests_per_s"`
	InputRate   float64 `json:"input_tokens_per_s"`
	OutputRate  float64 `json:"output_tokens_per_s"`

	// The distributions are over completed requests, ITL over all token chunks of
	// theirs, TPOT over those with two tokens or more. Nil where there are none.
	TTFT *Distribution `json:"ttft_ns,omitempty"`
	TPOT *Distribution `json:"tpot_ns,omitempty"`
	ITL  *Distribution `json:"itl_ns,omitempty"`
	E2E  *Distribution `json:"e2e_ns,omitempty"`

	// Errors are the ten errors that most requests failed of, the most frequent first.
	Errors []ErrorCount `json:"errors,omitempty"`
}

// ErrorCount is how many requests failed of one error.
type ErrorCount struct {
	Error string `json:"error"`
	Count int    `json:"count"`
}

// Distribution says how some times are distributed, in nanoseconds. Percentiles
// are exact, with linear interpolation between neighbours as numpy.percentile does.
type Distribution struct {
	Count int   `json:"count"`
	Mean  int64 `json:"mean"`
	Min   int64 `json:"min"`
	P50   int64 `json:"p50"`
	P90   int64 `json:"p90"`
	P95   int64 `json:"p95"`
	P99   int64 `json:"p99"`
	Max   int64 `json:"max"`
}

// maxErrorKinds bounds the errors that are told apart.
const maxErrorKinds = 1000

// Accumulator makes a Summary of records that are added one by one. It keeps every
// time it was given: 8 bytes a token chunk. The zero value is ready. Not safe for
// concurrent use.
type Accumulator struct {
	summary              Summary
	end                  time.Time
	ttft, tpot, itl, e2e []int64
	errors               map[string]int
}

// Summarize gives the numbers of a load from its records, in whatever order.
func Summarize(records []Record) Summary {
	var a Accumulator
	for i := range records {
		a.Add(records[i])
	}
	return a.Summary()
}

// Add takes a record.
func (a *Accumulator) Add(r Record) {
	s := &a.summary
	if s.Requests == 0 || r.Start.Before(s.Start) {
		s.Start = r.Start
	}
	if end := r.Start.Add(time.Duration(r.E2E)); end.After(a.end) {
		a.end = end
	}
	s.Requests++
	s.OutputTokens += int64(r.OutputTokens)
	if r.Chunks > 0 {
		s.InputTokens += int64(r.PromptTokens)
	}
	switch {
	case r.Cancelled:
		s.Cancelled++
	case r.Error != "":
		s.Failed++
		a.addError(r.Error)
	default:
		s.Completed++
		a.addTimes(r)
	}
}

func (a *Accumulator) addError(message string) {
	if a.errors == nil {
		a.errors = make(map[string]int)
	}
	if _, known := a.errors[message]; !known && len(a.errors) >= maxErrorKinds {
		message = "other errors"
	}
	a.errors[message]++
}

func (a *Accumulator) addTimes(r Record) {
	a.ttft = append(a.ttft, r.TTFT)
	a.e2e = append(a.e2e, r.E2E)
	a.itl = append(a.itl, r.ITL...)
	if r.OutputTokens > 1 {
		a.tpot = append(a.tpot, r.TPOT)
	}
}

// Summary gives the numbers of what was added so far. More may be added afterwards.
func (a *Accumulator) Summary() Summary {
	s := a.summary
	if s.Requests > 0 {
		s.Duration = a.end.Sub(s.Start).Nanoseconds()
	}
	if seconds := time.Duration(s.Duration).Seconds(); seconds > 0 {
		s.RequestRate = float64(s.Completed) / seconds
		s.InputRate = float64(s.InputTokens) / seconds
		s.OutputRate = float64(s.OutputTokens) / seconds
	}
	s.TTFT = distribution(a.ttft)
	s.TPOT = distribution(a.tpot)
	s.ITL = distribution(a.itl)
	s.E2E = distribution(a.e2e)
	s.Errors = a.topErrors(10)
	return s
}

func (a *Accumulator) topErrors(n int) []ErrorCount {
	var top []ErrorCount
	for message, count := range a.errors {
		top = append(top, ErrorCount{Error: message, Count: count})
	}
	slices.SortFunc(top, func(x, y ErrorCount) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Error, y.Error))
	})
	return top[:min(n, len(top))]
}

// distribution sorts the times. It gives nil for none.
func distribution(times []int64) *Distribution {
	if len(times) == 0 {
		return nil
	}
	slices.Sort(times)
	var sum float64
	for _, t := range times {
		sum += float64(t)
	}
	return &Distribution{
		Count: len(times),
		Mean:  int64(math.Round(sum / float64(len(times)))),
		Min:   times[0],
		P50:   percentile(times, 0.50),
		P90:   percentile(times, 0.90),
		P95:   percentile(times, 0.95),
		P99:   percentile(times, 0.99),
		Max:   times[len(times)-1],
	}
}

// percentile interpolates in sorted times.
func percentile(times []int64, p float64) int64 {
	rank := p * float64(len(times)-1)
	below := int(rank)
	if below+1 >= len(times) {
		return times[len(times)-1]
	}
	part := rank - float64(below)
	return times[below] + int64(math.Round(part*float64(times[below+1]-times[below])))
}
