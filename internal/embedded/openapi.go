package embedded

import (
	"net/http"
	"strings"
)

func reference(schema string) map[string]any {
	return map[string]any{"$ref": "#/components/schemas/" + schema}
}

// openAPI describes the routes in FastAPI's form. Clients read from it whether
// profiling is configured and what a start may say.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	paths := map[string]map[string]any{}
	schemas := map[string]any{
		"CompletionRequest": object("CompletionRequest", map[string]string{
			"model": "string", "prompt": "", "max_tokens": "integer", "min_tokens": "integer",
			"ignore_eos": "boolean", "stream": "boolean",
		}),
		"ChatCompletionRequest": object("ChatCompletionRequest", map[string]string{
			"model": "string", "messages": "array", "max_tokens": "integer", "max_completion_tokens": "integer",
			"min_tokens": "integer", "ignore_eos": "boolean", "stream": "boolean",
		}),
		"HTTPValidationError": map[string]any{
			"properties": map[string]any{"detail": map[string]any{"type": "array", "title": "Detail", "items": map[string]any{}}},
			"type":       "object", "title": "HTTPValidationError",
		},
	}
	for _, r := range s.table() {
		if r.hidden {
			continue
		}
		if paths[r.path] == nil {
			paths[r.path] = map[string]any{}
		}
		paths[r.path][strings.ToLower(r.method)] = operation(r)
		if r.path == "/start_profile" && r.body != nil {
			schema := object("StartProfileRequest", map[string]string{
				"profile_prefix": "string", "delay_iterations": "integer", "max_iterations": "integer",
			})
			schema["description"] = "Optional overrides for one profiling session.\n\nValues are validated by the engine client."
			schemas["StartProfileRequest"] = schema
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"openapi":    "3.1.0",
		"info":       map[string]any{"title": "FastAPI", "version": "0.1.0"},
		"paths":      paths,
		"components": map[string]any{"schemas": schemas},
	})
}

func operation(r route) map[string]any {
	name := strings.NewReplacer("/", "_", ".", "_").Replace(strings.TrimPrefix(r.path, "/"))
	responses := map[string]any{"200": map[string]any{
		"description": "Successful Response", "content": jsonContent(map[string]any{}),
	}}
	o := map[string]any{
		"summary":     title(name),
		"operationId": name + "_" + name + "_" + strings.ToLower(r.method),
		"responses":   responses,
	}
	if r.body != nil {
		o["requestBody"] = map[string]any{"content": jsonContent(r.body)}
		responses["422"] = map[string]any{
			"description": "Validation Error", "content": jsonContent(reference("HTTPValidationError")),
		}
	}
	return o
}

func jsonContent(schema map[string]any) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": schema}}
}

// object is the schema of a body whose fields may all be null or left out.
func object(name string, fields map[string]string) map[string]any {
	properties := map[string]any{}
	for field, kind := range fields {
		property := map[string]any{"title": title(field)}
		if kind != "" {
			property["anyOf"] = []any{map[string]any{"type": kind}, map[string]any{"type": "null"}}
		}
		properties[field] = property
	}
	return map[string]any{"properties": properties, "type": "object", "title": name}
}

// title spells a name as FastAPI's titles: its words with capitals.
func title(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words {
		if word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, " ")
}
