package gatetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"profjob/internal/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPlugin runs the suite against the plugin itself, loaded the way vLLM loads
// it, over stand-ins of vLLM and torch.
func TestPlugin(t *testing.T) {
	for _, tc := range []struct {
		mode   string
		server Server
	}{
		{"now", Server{Hooks: []string{"execute_model"}}},
		{"later", Server{Hooks: []string{"execute_model", "sample_tokens"}}},
		{"ray", Server{Ray: true}},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			t.Parallel()
			s := tc.server
			s.Endpoint, s.Secret, s.VLLM = standin(t, tc.mode, "s3cret"), "s3cret", "0.0.standin"
			s.Complete = func(ctx context.Context, prompt, output int) error {
				return complete(ctx, s.Endpoint, prompt, output)
			}
			Run(t, s)
		})
	}
}

// standin starts the server and gives its address.
func standin(t *testing.T, mode, secret string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	plugin, err := filepath.Abs(filepath.Join("..", "plugin"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-B", filepath.Join("testdata", "standin.py"), plugin, mode)
	cmd.Env = append(os.Environ(), gate.SecretEnv+"="+secret, gate.RootEnv+"="+filepath.Join(t.TempDir(), "root"))
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("stand-in: %v", err)
		}
		if said.Len() > 0 && t.Failed() {
			t.Logf("the stand-in said:\n%s", said.String())
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("stand-in: %v", err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

func complete(ctx context.Context, endpoint string, prompt, output int) error {
	ids := make([]int, prompt)
	for i := range ids {
		ids[i] = 5 + rand.IntN(200) // unlike any before, for prefix caches
	}
	body, err := json.Marshal(map[string]any{"model": "tiny", "prompt": ids, "max_tokens": output, "ignore_eos": true})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/v1/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
