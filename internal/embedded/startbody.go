package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// bodyError is an answer to a start whose body cannot be taken.
type bodyError struct {
	status int
	answer any
}

// parseStart reads the body of /start_profile as vLLM 0.32.0 does: strict types,
// null the same as absent, unknown keys ignored; nothing but JSON said to be
// JSON. The answers' texts were recorded from its own router and handlers.
func parseStart(contentType string, body []byte) (session, *bodyError) {
	if len(body) == 0 {
		return session{}, nil
	}
	if !saysJSON(contentType) {
		return session{}, invalid([]fieldError{notAnObject(fmt.Sprintf("<bytes of %d bytes>", len(body)))})
	}
	if !utf8.Valid(body) {
		return session{}, &bodyError{http.StatusBadRequest, map[string]string{"detail": "There was an error parsing the body"}}
	}
	value, err := decodeValue(body)
	if err != nil {
		return session{}, invalid([]fieldError{notJSON(body, err)})
	}
	if value == nil {
		return session{}, nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return session{}, invalid([]fieldError{notAnObject(summary(value))})
	}
	return parseFields(fields)
}

func parseFields(fields map[string]any) (session, *bodyError) {
	var s session
	var wrong []fieldError
	if v := fields["profile_prefix"]; v != nil {
		if text, ok := v.(string); ok {
			s.Prefix = &text
		} else {
			wrong = append(wrong, fieldError{"string_type", "body.profile_prefix", "Input should be a valid string", summary(v), ""})
		}
	}
	for _, f := range []struct {
		name  string
		value **int
	}{{"delay_iterations", &s.Delay}, {"max_iterations", &s.Max}} {
		v := fields[f.name]
		if v == nil {
			continue
		}
		if n, ok := integer(v); ok {
			*f.value = &n
		} else {
			wrong = append(wrong, fieldError{"int_type", "body." + f.name, "Input should be a valid integer", summary(v), ""})
		}
	}
	if len(wrong) > 0 {
		return session{}, invalid(wrong)
	}
	return s, nil
}

// checkStart is the check that vLLM makes after it has looked whether a session
// is active: validate_profile_prefix and validate_profile_iteration_bounds.
func checkStart(s session) *apiError {
	if s.Prefix != nil && !validPrefix(*s.Prefix) {
		return badRequest("", "profile_prefix must be 1-128 ASCII characters, start with a letter "+
			"or number, and contain only letters, numbers, '.', '_', or '-'")
	}
	if s.Delay != nil && *s.Delay < 0 {
		return badRequest("", "delay_iterations must be greater than or equal to 0")
	}
	if s.Max != nil && *s.Max < 0 {
		return badRequest("", "max_iterations must be greater than or equal to 0")
	}
	return nil
}

func validPrefix(s string) bool {
	if len(s) < 1 || len(s) > 128 {
		return false
	}
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return true
}

func saysJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" ||
		strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

func decodeValue(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("extra data")
	}
	return value, nil
}

// integer takes numbers written without a fraction or an exponent. Python's
// have no limit; ones that are too large for us mean no bound either way.
func integer(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok || strings.ContainsAny(n.String(), ".eE") {
		return 0, false
	}
	i, err := strconv.ParseInt(n.String(), 10, 0)
	if err != nil && strings.HasPrefix(n.String(), "-") {
		return math.MinInt, true
	}
	if err != nil {
		return math.MaxInt, true
	}
	return int(i), true
}

// fieldError is one of pydantic's errors.
type fieldError struct{ kind, at, message, input, context string }

func notAnObject(input string) fieldError {
	return fieldError{"model_attributes_type", "body",
		"Input should be a valid dictionary or object to extract fields from", input, ""}
}

func notJSON(body []byte, err error) fieldError {
	at := len(body)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
		at = int(syntax.Offset) - 1
		for at > 0 && body[at-1] >= 'a' && body[at-1] <= 'z' {
			at-- // Python points at the start of a word, Go into it
		}
	}
	return fieldError{"json_invalid", "body." + strconv.Itoa(at), "JSON decode error", "<dict of 0 items>", "Expecting value"}
}

// invalid is vLLM's answer to a body that does not validate: the errors as
// Python dictionaries, and the first one's place as param.
func invalid(errs []fieldError) *bodyError {
	noun := "error"
	if len(errs) > 1 {
		noun = "errors"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d validation %s:", len(errs), noun)
	for _, e := range errs {
		fmt.Fprintf(&b, "\n  {'type': '%s', 'loc': '%s', 'msg': '%s', 'input': %s", e.kind, e.at, e.message, quotePython(e.input))
		if e.context != "" {
			fmt.Fprintf(&b, ", 'ctx': {'error': '%s'}", e.context)
		}
		b.WriteByte('}')
	}
	return &bodyError{http.StatusBadRequest, map[string]any{"error": &apiError{
		Message: b.String(), Type: "Bad Request", Param: &errs[0].at, Code: http.StatusBadRequest,
	}}}
}

// maxSummary is how much of a text vLLM repeats in an error.
const maxSummary = 200

// summary is vLLM's stand-in for a value in an error.
func summary(v any) string {
	switch v := v.(type) {
	case string:
		if r := []rune(v); len(r) > maxSummary {
			return string(r[:maxSummary]) + "...[truncated]"
		}
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case json.Number:
		if _, whole := integer(v); whole {
			return v.String()
		}
		f, _ := v.Float64() // out of range is an infinity, in Python as here
		if math.IsInf(f, 0) {
			return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+"))
		}
		return number(f)
	case []any:
		return fmt.Sprintf("<list of %d items>", len(v))
	case map[string]any:
		return fmt.Sprintf("<dict of %d items>", len(v))
	}
	return fmt.Sprint(v)
}

// quotePython writes a text as Python's repr does, for the common characters.
func quotePython(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s)
	if quote == "'" {
		s = strings.ReplaceAll(s, "'", `\'`)
	}
	return quote + s + quote
}
