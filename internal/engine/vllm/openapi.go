package vllm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"profjob/internal/engine"
)

// openAPI is what the description of a server's routes tells of its profiler.
type openAPI struct {
	readable bool // false: the server does not describe itself (--disable-fastapi-docs)
	paths    []string
	bounds   bool // the body of /start_profile takes bounds
}

func (o openAPI) has(path string) bool { return slices.Contains(o.paths, path) }

// askOpenAPI reads /openapi.json. A server without one, or with one that cannot
// be read, leaves openAPI empty.
func (c *Client) askOpenAPI(ctx context.Context) (openAPI, error) {
	a, err := c.get(ctx, "ask for the routes", "/openapi.json", maxOpenAPI)
	if err != nil {
		if ctx.Err() != nil {
			return openAPI{}, err
		}
		return openAPI{}, nil
	}
	if !a.OK() {
		return openAPI{}, nil
	}
	o, err := parseOpenAPI(a.Body)
	if err != nil {
		return openAPI{}, nil
	}
	return o, nil
}

// boundNames are the properties that all must be there (vLLM 0.32.0,
// StartProfileRequest).
var boundNames = []string{"profile_prefix", "delay_iterations", "max_iterations"}

type schema struct {
	Ref        string                     `json:"$ref"`
	AnyOf      []schema                   `json:"anyOf"`
	AllOf      []schema                   `json:"allOf"`
	Properties map[string]json.RawMessage `json:"properties"`
}

func parseOpenAPI(text []byte) (openAPI, error) {
	var doc struct {
		Paths      map[string]json.RawMessage `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return openAPI{}, fmt.Errorf("parse the description of the routes: %w", err)
	}
	if len(doc.Paths) == 0 {
		return openAPI{}, fmt.Errorf("parse the description of the routes: it has no paths")
	}
	o := openAPI{readable: true}
	for path := range doc.Paths {
		o.paths = append(o.paths, path)
	}
	slices.Sort(o.paths)
	var route struct {
		Post struct {
			RequestBody struct {
				Content map[string]struct {
					Schema schema `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"post"`
	}
	if json.Unmarshal(doc.Paths["/start_profile"], &route) != nil {
		return o, nil // not there, or of a form that says nothing
	}
	o.bounds = takesBounds(route.Post.RequestBody.Content["application/json"].Schema, doc.Components.Schemas, 0)
	return o, nil
}

// maxSchemaDepth bounds how far references are followed: they may form a ring.
const maxSchemaDepth = 8

func takesBounds(s schema, schemas map[string]json.RawMessage, depth int) bool {
	if depth > maxSchemaDepth {
		return false
	}
	if len(s.Properties) > 0 {
		return !slices.ContainsFunc(boundNames, func(name string) bool { return s.Properties[name] == nil })
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		var next schema
		return json.Unmarshal(schemas[name], &next) == nil && takesBounds(next, schemas, depth+1)
	}
	return slices.ContainsFunc(slices.Concat(s.AnyOf, s.AllOf), func(part schema) bool {
		return takesBounds(part, schemas, depth+1)
	})
}

// refine corrects what the version promised by what the server has. The routes
// of the profiler are there only if it is configured (vLLM 0.8.5 to 0.32.0).
func (o openAPI) refine(info *engine.Info) {
	if !o.readable {
		info.Notes = append(info.Notes, "the server does not describe its routes: whether its profiler is configured only a start will tell")
		return
	}
	if !o.has("/start_profile") {
		info.Profiling = engine.ProfilingNotConfigured
		return
	}
	info.Profiling = engine.ProfilingConfigured
	switch {
	case o.bounds && !info.PerRequestBounds:
		info.Dialect = DialectPerRequest
		info.Notes = append(info.Notes, "its /start_profile takes bounds, which releases of this version do not")
	case !o.bounds && info.PerRequestBounds:
		info.Dialect = DialectConfig
		info.Notes = append(info.Notes, "its /start_profile takes no bounds, which releases of this version do")
	}
	info.PerRequestBounds = o.bounds
}
