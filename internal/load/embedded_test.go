package load_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"

	"profjob/internal/embedded"
	"profjob/internal/load"
)

// The embedded engine decodes for real: what is asked for is what comes, over both APIs.
func TestEmbeddedEngine(t *testing.T) {
	server, err := embedded.New(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { server.Run(ctx) })
	front := httptest.NewServer(server.Handler())
	defer func() { front.Close(); cancel(); running.Wait() }()
	for _, api := range []load.API{load.Completions, load.Chat} {
		var mu sync.Mutex
		var records []load.Record
		run, err := load.Start(t.Context(), load.Config{
			Endpoints: []string{front.URL}, API: api, Concurrency: 4, Requests: 6,
			Input: load.TokenRange{Min: 4, Max: 12}, Output: load.TokenRange{Min: 1, Max: 4},
		}, func(r load.Record) {
			mu.Lock()
			defer mu.Unlock()
			records = append(records, r)
		})
		if err != nil {
			t.Fatal(err)
		}
		<-run.Done()
		if stats := run.Stats(); stats.Completed != 6 || len(records) != 6 {
			t.Fatalf("%s: %d records, %+v", api, len(records), stats)
		}
		for _, r := range records {
			if r.OutputTokens != r.MaxTokens || r.OutputTokensFrom != load.FromUsage || r.Chunks != r.OutputTokens || r.TTFT <= 0 {
				t.Errorf("%s: %+v", api, r)
			}
			if api == load.Completions && (r.PromptTokens < 4 || r.PromptTokens > 12) {
				t.Errorf("%s: prompt of %d tokens", api, r.PromptTokens)
			}
		}
	}
}
