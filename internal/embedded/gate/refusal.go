package gate

import (
	"fmt"
	"net/http"
)

// refusal is what a caller is told instead of an answer.
type refusal struct {
	status  int
	code    string
	message string
	field   string  // of the request, where it is at fault
	workers []brief // those that refused
}

// brief is a worker in a refusal.
type brief struct {
	Core   int    `json:"core"`
	Rank   int    `json:"rank"`
	TPRank int    `json:"tp_rank"`
	PPRank int    `json:"pp_rank"`
	Host   string `json:"host"`
	PID    int    `json:"pid"`
	Passes int64  `json:"passes"`
	Error  string `json:"error"`
}

func (r *refusal) Error() string { return r.message }

// bad refuses a field of a request.
func bad(field, format string, args ...any) *refusal {
	return &refusal{
		status: http.StatusBadRequest, code: "bad_request",
		message: field + ": " + fmt.Sprintf(format, args...), field: field,
	}
}

// body is the refusal as it is sent.
func (r *refusal) body() any {
	type text struct {
		Code    string  `json:"code"`
		Message string  `json:"message"`
		Field   string  `json:"field,omitempty"`
		Workers []brief `json:"workers,omitempty"`
	}
	return map[string]any{"error": text{r.code, r.message, r.field, r.workers}}
}
