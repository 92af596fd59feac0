package vllm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"profjob/internal/engine"
	"profjob/internal/engine/exchange"
)

// Probe asks /version, /v1/models, /openapi.json and, where the server has it
// (VLLM_SERVER_DEV_MODE=1), /server_info. None of them touches the engine. Only
// the first two must answer; what the others would have told is then unknown.
func (c *Client) Probe(ctx context.Context) (engine.Info, error) {
	version, err := c.askVersion(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	t := traitsOf(version)
	info := engine.Info{
		Engine: c.name, Version: version, Dialect: t.dialect,
		Profiling:        engine.ProfilingUnknown,
		PerRequestBounds: t.dialect == DialectPerRequest,
		Evidence:         t.evidence, AnnotatesTokens: t.tokens,
		Fingerprint: map[string]string{}, Notes: slices.Clone(t.notes),
	}
	api, err := c.askOpenAPI(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	if err := c.askModels(ctx, api, &info); err != nil {
		return engine.Info{}, err
	}
	api.refine(&info)
	if err := c.askServerInfo(ctx, api, &info); err != nil {
		return engine.Info{}, err
	}
	c.remember(info)
	return info, nil
}

// askVersion reads /version, which vLLM answers with or without an API key.
func (c *Client) askVersion(ctx context.Context) (string, error) {
	a, err := c.get(ctx, "ask for the version", "/version", maxSmall)
	if err != nil {
		return "", orNotServer(err)
	}
	if a.Status >= http.StatusInternalServerError {
		return "", a.StatusError(nil) // its trouble may pass
	}
	if !a.OK() {
		return "", c.notServer(ctx, a)
	}
	var v struct {
		Version string `json:"version"`
	}
	if err := a.JSON(&v); err != nil {
		return "", fmt.Errorf("%w: %w%s", engine.ErrNotServer, err, serverHeader(a))
	}
	if v.Version == "" || len(v.Version) > maxVersion {
		return "", fmt.Errorf("%w: %s answers without a version: %s%s", engine.ErrNotServer, a.URL, a.Said(), serverHeader(a))
	}
	return exchange.Line([]byte(v.Version), ""), nil
}

// models is the part of /v1/models that is read.
type models struct {
	Data []struct {
		ID          string  `json:"id"`
		OwnedBy     string  `json:"owned_by"`
		MaxModelLen float64 `json:"max_model_len"`
	} `json:"data"`
}

// askModels reads /v1/models, which tells vLLM from others by its owner. With an
// API key that was not given, the other routes must tell.
func (c *Client) askModels(ctx context.Context, api openAPI, info *engine.Info) error {
	a, err := c.get(ctx, "ask for the models", "/v1/models", maxSmall)
	if err != nil {
		return orNotServer(err)
	}
	if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		info.Notes = append(info.Notes, "the server wants another API key for /v1/*: its models are not known, and no load can be put on it")
		return c.looksLikeVLLM(ctx, api, a)
	}
	if a.Status >= http.StatusInternalServerError {
		return a.StatusError(nil)
	}
	if !a.OK() {
		return fmt.Errorf("%w: %w%s", engine.ErrNotServer, a.StatusError(nil), serverHeader(a))
	}
	var m models
	if err := a.JSON(&m); err != nil {
		return fmt.Errorf("%w: %w%s", engine.ErrNotServer, err, serverHeader(a))
	}
	if len(m.Data) == 0 {
		return fmt.Errorf("%w: %s lists no models: %s", engine.ErrNotServer, a.URL, a.Said())
	}
	for _, model := range m.Data {
		if model.OwnedBy != owner {
			return fmt.Errorf("%w: %s", engine.ErrNotServer, foreignOwner(a.URL, model.OwnedBy))
		}
		if printable(model.ID) {
			info.Models = append(info.Models, model.ID)
		}
	}
	if n := m.Data[0].MaxModelLen; n > 0 {
		info.Fingerprint["max_model_len"] = strconv.FormatInt(whole(n), 10)
	}
	return nil
}

// looksLikeVLLM takes routes that vLLM alone has together, or its metrics, for proof.
func (c *Client) looksLikeVLLM(ctx context.Context, api openAPI, models *exchange.Answer) error {
	if api.has("/version") && api.has("/load") && api.has("/v1/models") {
		return nil
	}
	if m, err := c.Metrics(ctx); err == nil && m.Running >= 0 {
		return nil
	}
	return fmt.Errorf("%w: cannot tell what it is, since %w%s", engine.ErrNotServer, models.StatusError(nil), serverHeader(models))
}

// notServer says as well as it can who answers where /version is missing.
func (c *Client) notServer(ctx context.Context, version *exchange.Answer) error {
	seen := fmt.Errorf("%w: %w%s", engine.ErrNotServer, version.StatusError(nil), serverHeader(version))
	a, err := c.get(ctx, "ask for the models", "/v1/models", maxSmall)
	if err != nil || !a.OK() {
		return seen
	}
	var m models
	if a.JSON(&m) != nil || len(m.Data) == 0 {
		return seen
	}
	return fmt.Errorf("%w; %s", seen, foreignOwner(a.URL, m.Data[0].OwnedBy))
}

// foreignOwner says what the owner of a server's models makes of the server.
func foreignOwner(url, said string) string {
	switch said {
	case owner:
		return fmt.Sprintf("%s lists models of vLLM all the same: a proxy? The profiler answers on each API server's own address", url)
	case "sglang":
		return fmt.Sprintf("%s says owned_by %q: an SGLang server, for a target %q", url, said, "sglang")
	}
	return fmt.Sprintf("%s says owned_by %q", url, exchange.Line([]byte(said), ""))
}

// orNotServer: an answer that is no answer of vLLM's comes from something else.
func orNotServer(err error) error {
	var limit *exchange.LimitError
	if errors.As(err, &limit) {
		return fmt.Errorf("%w: %w", engine.ErrNotServer, err)
	}
	return err
}

func serverHeader(a *exchange.Answer) string {
	if s := a.Server(); s != "" {
		return " (Server: " + s + ")"
	}
	return ""
}

// askServerInfo adds what /server_info tells. That the route is not there is the
// rule; that it fails is worth a note, no error.
func (c *Client) askServerInfo(ctx context.Context, api openAPI, info *engine.Info) error {
	if api.readable && !api.has("/server_info") {
		return nil
	}
	a, err := c.ask.Do(ctx, exchange.Request{
		Op: "ask for the configuration", Path: "/server_info?config_format=json",
		Accept: "application/json", Limit: maxInfo, Timeout: infoTimeout,
	})
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		info.Notes = append(info.Notes, fmt.Sprintf("its configuration is not known: %v", err))
		return nil
	}
	if a.Status == http.StatusNotFound {
		return nil
	}
	if !a.OK() { // 0.32.0 on a host without some of the programs that it runs
		info.Notes = append(info.Notes, fmt.Sprintf("its configuration is not known: %v", a.StatusError(nil)))
		return nil
	}
	told, err := parseServerInfo(a.Body)
	if err != nil {
		info.Notes = append(info.Notes, fmt.Sprintf("its configuration is not known: %s: %v", a.URL, err))
		return nil
	}
	maps.Copy(info.Fingerprint, told.fingerprint)
	told.refine(info)
	return nil
}
