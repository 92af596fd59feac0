package embedded

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"unicode/utf8"
)

// Bodies and answers recorded from vLLM 0.32.0's own router and exception
// handlers, with FastAPI 0.136 and pydantic 2.14.
func TestStartBodies(t *testing.T) {
	intType := func(field, input string) string {
		return `{"error":{"message":"1 validation error:\n  {'type': 'int_type', 'loc': 'body.` + field +
			`', 'msg': 'Input should be a valid integer', 'input': '` + input + `'}","type":"Bad Request","param":"body.` + field + `","code":400}}`
	}
	object := func(input string) string {
		return `{"error":{"message":"1 validation error:\n  {'type': 'model_attributes_type', 'loc': 'body', 'msg': 'Input should be a valid dictionary or object to extract fields from', 'input': '` +
			input + `'}","type":"Bad Request","param":"body","code":400}}`
	}
	noJSON := func(at string) string {
		return `{"error":{"message":"1 validation error:\n  {'type': 'json_invalid', 'loc': 'body.` + at +
			`', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {'error': 'Expecting value'}}","type":"Bad Request","param":"body.` + at + `","code":400}}`
	}
	plain := func(message string) string {
		return `{"error":{"message":"` + message + `","type":"BadRequestError","param":null,"code":400}}`
	}
	const (
		json   = "application/json"
		prefix = "profile_prefix must be 1-128 ASCII characters, start with a letter or number, and contain only letters, numbers, '.', '_', or '-'"
	)
	for _, tc := range []struct{ contentType, body, want string }{
		{json, ``, ""},
		{"", ``, ""},
		{json, `null`, ""},
		{json, `{}`, ""},
		{json, `{"foo":1}`, ""},
		{json, `{"max_iterations":null}`, ""},
		{json, `{"profile_prefix":null}`, ""},
		{json, `{"max_iterations":0}`, ""},
		{json, `{"profile_prefix":"ok-1.x_"}`, ""},
		{json, `{"max_iterations":99999999999999999999}`, ""},
		{"application/vnd.api+json; charset=utf-8", `{"max_iterations":1}`, ""},
		{json, `{"max_iterations":-1}`, plain("max_iterations must be greater than or equal to 0")},
		{json, `{"delay_iterations":-1}`, plain("delay_iterations must be greater than or equal to 0")},
		{json, `{"max_iterations":"5"}`, intType("max_iterations", "5")},
		{json, `{"max_iterations":5.0}`, intType("max_iterations", "5.0")},
		{json, `{"max_iterations":5.5}`, intType("max_iterations", "5.5")},
		{json, `{"max_iterations":1e3}`, intType("max_iterations", "1000.0")},
		{json, `{"max_iterations":1.5e400}`, intType("max_iterations", "inf")},
		{json, `{"max_iterations":true}`, intType("max_iterations", "True")},
		{json, `{"delay_iterations":[1]}`, intType("delay_iterations", "<list of 1 items>")},
		{json, `{"max_iterations":{"a":1}}`, intType("max_iterations", "<dict of 1 items>")},
		{json, `{"max_iterations":1, "max_iterations":"2"}`, intType("max_iterations", "2")},
		{json, `{"max_iterations":"5","delay_iterations":"x"}`, `{"error":{"message":"2 validation errors:\n  {'type': 'int_type', 'loc': 'body.delay_iterations', 'msg': 'Input should be a valid integer', 'input': 'x'}\n  {'type': 'int_type', 'loc': 'body.max_iterations', 'msg': 'Input should be a valid integer', 'input': '5'}","type":"Bad Request","param":"body.delay_iterations","code":400}}`},
		{json, `{"profile_prefix":5}`, `{"error":{"message":"1 validation error:\n  {'type': 'string_type', 'loc': 'body.profile_prefix', 'msg': 'Input should be a valid string', 'input': '5'}","type":"Bad Request","param":"body.profile_prefix","code":400}}`},
		{json, `{"profile_prefix":""}`, plain(prefix)},
		{json, `{"profile_prefix":"../x"}`, plain(prefix)},
		{json, `{"profile_prefix":"a b"}`, plain(prefix)},
		{json, `{"profile_prefix":"é"}`, plain(prefix)},
		{json, `[]`, object("<list of 0 items>")},
		{json, `5`, object("5")},
		{json, `"x"`, object("x")},
		{json, `not json`, noJSON("0")},
		{json, `{"max_iterations":`, noJSON("18")},
		{json, `   `, noJSON("3")},
		{json, "{\"profile_prefix\":\"a\xff\"}", `{"detail":"There was an error parsing the body"}`},
		{"", `{"max_iterations":-1}`, object("<bytes of 21 bytes>")},
		{"application/x-www-form-urlencoded", `{"max_iterations":1}`, object("<bytes of 20 bytes>")},
		{"text/plain", `{"max_iterations":1}`, object("<bytes of 20 bytes>")},
	} {
		t.Run(tc.contentType+" "+tc.body, func(t *testing.T) {
			w := httptest.NewRecorder()
			s, wrong := parseStart(tc.contentType, []byte(tc.body))
			if wrong != nil {
				writeJSON(w, wrong.status, wrong.answer)
			} else if refused := checkStart(s); refused != nil {
				writeError(w, refused)
			}
			wantStatus := http.StatusOK
			if tc.want != "" {
				wantStatus = http.StatusBadRequest
			}
			if w.Code != wantStatus || w.Body.String() != tc.want {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, wantStatus, tc.want)
			}
		})
	}
}

func FuzzParseStart(f *testing.F) {
	for _, body := range []string{``, `null`, `{"max_iterations":"5"}`, `{"profile_prefix":"é'\""}`, `[1]`, `{`} {
		f.Add("application/json", []byte(body))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		s, wrong := parseStart(contentType, body)
		if wrong == nil {
			if s.Prefix != nil && !utf8.ValidString(*s.Prefix) {
				t.Errorf("prefix %q", *s.Prefix)
			}
			return
		}
		if wrong.status != http.StatusBadRequest || s != (session{}) {
			t.Errorf("status %d, session %+v", wrong.status, s)
		}
		if _, err := encode(wrong.answer); err != nil {
			t.Error(err)
		}
	})
}
