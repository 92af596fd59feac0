package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Stop asks a run to end its window and gives its answer, a line for people.
func Stop(ctx context.Context, info Info) (string, error) {
	answer, err := ask(ctx, info.Socket)
	if err != nil {
		return "", fmt.Errorf("ask the run of %s (process %d): %w", info.Job, info.PID, err)
	}
	return answer, nil
}

func ask(ctx context.Context, socket string) (string, error) {
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://profjob/stop", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() // it is only read
	const most = 4096
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("it answers %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return string(text), nil
}
