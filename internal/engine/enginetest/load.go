package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxCompletion bounds what is read of one completion, in bytes.
const maxCompletion = 4 << 20

// Completions makes the Load of a server with OpenAI's completions: one request
// of that many tokens.
func Completions(endpoint, bearer, model string, tokens int) func(context.Context) error {
	return func(ctx context.Context) error {
		body, err := json.Marshal(map[string]any{
			"model": model, "prompt": []int{5, 6, 7}, "max_tokens": tokens, "ignore_eos": true, "temperature": 0,
		})
		if err != nil {
			return fmt.Errorf("ask for a completion: %w", err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/v1/completions", bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("ask for a completion: %w", err)
		}
		req.Header.Set("Content-Type", "application/json")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("ask for a completion: %w", err)
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(io.LimitReader(resp.Body, maxCompletion))
		if err != nil {
			return fmt.Errorf("ask for a completion: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("ask for a completion: %s answered %d: %.300s", req.URL, resp.StatusCode, said)
		}
		return nil
	}
}
