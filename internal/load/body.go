package load

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// path is where the API answers, below an endpoint.
func (a API) path() string {
	if a == Chat {
		return "/v1/chat/completions"
	}
	return "/v1/completions"
}

// requestBody makes the JSON of a request: a stream with usage at its end, greedy,
// and of exactly maxTokens tokens. ignore_eos is an extension that vLLM and SGLang
// have. model is JSON already, or nil to leave it out.
func requestBody(api API, model []byte, p prompt, maxTokens int) ([]byte, error) {
	body := make([]byte, 0, 256+4*len(p.ids)+len(p.text)+len(p.messages))
	body = append(body, '{')
	if model != nil {
		body = append(append(append(body, `"model":`...), model...), ',')
	}
	body, err := appendPrompt(body, api, p)
	if err != nil {
		return nil, err
	}
	body = append(body, `,"max_tokens":`...)
	body = strconv.AppendInt(body, int64(maxTokens), 10)
	return append(body, `,"temperature":0,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`...), nil
}

func appendPrompt(body []byte, api API, p prompt) ([]byte, error) {
	switch {
	case api == Completions && p.ids != nil:
		return appendIDs(append(body, `"prompt":`...), p.ids), nil
	case api == Completions && p.messages == nil:
		return appendString(append(body, `"prompt":`...), p.text)
	case api == Chat && p.messages != nil:
		return append(append(body, `"messages":`...), p.messages...), nil
	case api == Chat && p.ids == nil:
		body, err := appendString(append(body, `"messages":[{"role":"user","content":`...), p.text)
		return append(body, `}]`...), err
	}
	return nil, fmt.Errorf("make request: the %s api does not take this prompt", api)
}

func appendIDs(body []byte, ids []int) []byte {
	body = append(body, '[')
	for i, id := range ids {
		if i > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendInt(body, int64(id), 10)
	}
	return append(body, ']')
}

func appendString(body []byte, s string) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return body, fmt.Errorf("make request: %w", err)
	}
	return append(body, text...), nil
}
