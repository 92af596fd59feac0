package embedded

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"profjob/internal/embedded/gate"
)

// route is one operation of the API; /openapi.json is made from the same table.
type route struct {
	method, path string
	handle       http.HandlerFunc
	// body is the schema of the request's body for /openapi.json; nil means
	// that it has none.
	body map[string]any
	// hidden leaves the route out of /openapi.json, which does not name itself.
	hidden bool
}

// table is the API. Routes that the launch did not ask for do not exist.
func (s *Server) table() []route {
	table := []route{
		{method: "GET", path: "/health", handle: s.health},
		{method: "GET", path: "/version", handle: s.version},
		{method: "GET", path: "/v1/models", handle: s.models},
		{method: "POST", path: "/v1/completions", handle: s.completions, body: reference("CompletionRequest")},
		{method: "POST", path: "/v1/chat/completions", handle: s.chat, body: reference("ChatCompletionRequest")},
		{method: "GET", path: "/metrics", handle: s.metrics.serve},
		{method: "GET", path: "/openapi.json", handle: s.openAPI, hidden: true},
	}
	if s.config.TraceDir != "" {
		start := route{method: "POST", path: "/start_profile", handle: s.startProfile}
		if s.config.release() == V032 {
			start.body = map[string]any{
				"anyOf": []any{reference("StartProfileRequest"), map[string]any{"type": "null"}},
				"title": "Profile Request",
			}
		}
		table = append(table, start, route{method: "POST", path: "/stop_profile", handle: s.stopProfile})
	}
	if s.engine.gate != nil {
		for _, r := range gate.NewFront(s.engine.gate, s.config.GateSecret, s.engine.call).Routes() {
			table = append(table, route{method: r.Method, path: r.Path, handle: r.Handle, hidden: true})
		}
	}
	if s.config.DevMode {
		table = append(table, route{method: "GET", path: "/server_info", handle: s.serverInfo})
	}
	return table
}

// router finds routes, and answers as FastAPI does where there is none.
type router map[string]map[string]http.HandlerFunc // path, method

func newRouter(table []route) router {
	r := router{}
	for _, route := range table {
		if r[route.path] == nil {
			r[route.path] = map[string]http.HandlerFunc{}
		}
		r[route.path][route.method] = route.handle
	}
	return r
}

func (r router) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	methods, ok := r[request.URL.Path]
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"detail": "Not Found"})
		return
	}
	handle, ok := methods[request.Method]
	if !ok {
		var allowed []string
		for method := range methods {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"detail": "Method Not Allowed"})
		return
	}
	handle(w, request)
}

// apiError is the body of vLLM's errors. Fields are in vLLM's order.
type apiError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    int     `json:"code"`
}

func (e *apiError) Error() string { return e.Message }

func badRequest(param, message string) *apiError {
	e := &apiError{Message: message, Type: "BadRequestError", Code: http.StatusBadRequest}
	if param != "" {
		e.Param = &param
	}
	return e
}

func writeError(w http.ResponseWriter, e *apiError) {
	writeJSON(w, e.Code, map[string]any{"error": e})
}

// internalError is what vLLM answers where it did not expect to fail: plain
// text before it had a handler for everything, JSON since.
func (s *Server) internalError(w http.ResponseWriter, err error) {
	if s.config.release() == V032 {
		writeError(w, &apiError{Message: err.Error(), Type: "InternalServerError", Code: http.StatusInternalServerError})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write([]byte("Internal Server Error"))
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := encode(value)
	if err != nil { // no value here can fail; an empty body would hide it if one did
		status, body = http.StatusInternalServerError, []byte(err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// encode writes JSON as Python does: without escaping HTML, without a line break.
func encode(value any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}
