package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Limits of a dataset file: it is held in memory.
const (
	maxDatasetLine  = 16 << 20  // bytes
	maxDatasetBytes = 512 << 20 // bytes
)

// dataset is the prompts of a file, in its order and again from its start.
type dataset []prompt

func (d dataset) prompt(seq uint64) prompt { return d[seq%uint64(len(d))] }

// loadDataset reads a dataset file for one API. An error names the file and, where
// it is about a line, its number.
func loadDataset(path string, api API) (dataset, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load: open dataset: %w", err)
	}
	defer f.Close()
	d, err := readDataset(f, api)
	if err != nil {
		return nil, fmt.Errorf("load: read dataset %s: %w", path, err)
	}
	return d, nil
}

func readDataset(r io.Reader, api API) (dataset, error) {
	limited := &io.LimitedReader{R: r, N: maxDatasetBytes + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxDatasetLine)
	var d dataset
	number := 0
	for lines.Scan() {
		number++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		p, err := parsePrompt(lines.Bytes(), api)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		d = append(d, p)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: longer than the limit of %d bytes for a line", number+1, maxDatasetLine)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	case limited.N == 0:
		return nil, fmt.Errorf("larger than the limit of %d bytes for a dataset", maxDatasetBytes)
	case len(d) == 0:
		return nil, errors.New("no prompt in it")
	}
	return d, nil
}

// datasetLine is the form of one line. Other fields are let pass, so that
// datasets made for other tools can be used.
type datasetLine struct {
	Prompt       json.RawMessage `json:"prompt"`
	Messages     json.RawMessage `json:"messages"`
	OutputTokens *int            `json:"output_tokens"`
}

func parsePrompt(line []byte, api API) (prompt, error) {
	var l datasetLine
	if err := json.Unmarshal(line, &l); err != nil {
		return prompt{}, fmt.Errorf("not a JSON object of a prompt: %w", err)
	}
	p, err := l.decode(api)
	if err != nil {
		return prompt{}, err
	}
	if l.OutputTokens == nil {
		return p, nil
	}
	if n := *l.OutputTokens; n < 1 || n > maxTokens {
		return prompt{}, fmt.Errorf("output_tokens is %d; it must be from 1 to %d", n, maxTokens)
	}
	p.outputTokens = *l.OutputTokens
	return p, nil
}

func (l datasetLine) decode(api API) (prompt, error) {
	hasPrompt, hasMessages := present(l.Prompt), present(l.Messages)
	switch {
	case hasPrompt == hasMessages:
		return prompt{}, errors.New(`exactly one of "prompt" and "messages" must be there`)
	case hasMessages && api != Chat:
		return prompt{}, fmt.Errorf(`"messages" needs the %s api, not %s`, Chat, api)
	case hasMessages:
		return decodeMessages(l.Messages)
	case l.Prompt[0] == '"':
		return decodeText(l.Prompt)
	case api != Completions:
		return prompt{}, fmt.Errorf(`a "prompt" of token ids needs the %s api, not %s`, Completions, api)
	}
	return decodeIDs(l.Prompt)
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func decodeText(raw []byte) (prompt, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return prompt{}, fmt.Errorf(`"prompt": %w`, err)
	}
	if text == "" {
		return prompt{}, errors.New(`"prompt" is empty`)
	}
	return prompt{text: text}, nil
}

func decodeIDs(raw []byte) (prompt, error) {
	var ids []int
	if err := json.Unmarshal(raw, &ids); err != nil {
		return prompt{}, fmt.Errorf(`"prompt" must be a string or an array of token ids: %w`, err)
	}
	if len(ids) == 0 {
		return prompt{}, errors.New(`"prompt" is empty`)
	}
	for i, id := range ids {
		if id < 0 || id > math.MaxInt32 {
			return prompt{}, fmt.Errorf(`"prompt": %d at place %d is no token id`, id, i)
		}
	}
	return prompt{ids: ids, tokens: len(ids), exact: true}, nil
}

func decodeMessages(raw []byte) (prompt, error) {
	var messages []struct {
		Role *string `json:"role"`
	}
	if err := json.Unmarshal(raw, &messages); err != nil {
		return prompt{}, fmt.Errorf(`"messages" must be an array of objects: %w`, err)
	}
	if len(messages) == 0 {
		return prompt{}, errors.New(`"messages" is empty`)
	}
	for i, m := range messages {
		if m.Role == nil {
			return prompt{}, fmt.Errorf(`"messages": the one at place %d has no role`, i)
		}
	}
	return prompt{messages: raw}, nil
}
