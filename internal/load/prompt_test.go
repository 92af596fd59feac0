package load

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRandomTokens(t *testing.T) {
	r := randomTokens{seed: 1, length: TokenRange{Min: 16, Max: 32}}
	seen := make(map[string]bool)
	lengths := make(map[int]int)
	var ids [endTokenID]int
	for seq := range uint64(5000) {
		p := r.prompt(seq)
		if len(p.ids) != p.tokens || !p.exact {
			t.Fatalf("request %d: %d ids, said to be %d", seq, len(p.ids), p.tokens)
		}
		lengths[len(p.ids)]++
		for _, id := range p.ids {
			if id < firstTokenID || id >= endTokenID {
				t.Fatalf("request %d: token id %d", seq, id)
			}
			ids[id]++
		}
		prefix, _ := json.Marshal(p.ids[:16])
		if seen[string(prefix)] {
			t.Fatalf("request %d begins like an earlier one", seq)
		}
		seen[string(prefix)] = true
	}
	if len(lengths) != 17 || lengths[15] > 0 || lengths[33] > 0 {
		t.Errorf("lengths drawn: %v", lengths)
	}
	// About 120,000 ids over 240: 500 each, with a standard deviation of 22.
	for id, n := range ids[firstTokenID:] {
		if n < 350 || n > 650 {
			t.Errorf("token id %d drawn %d times", id+firstTokenID, n)
		}
	}
}

func TestPromptsAreDeterministic(t *testing.T) {
	length := TokenRange{Min: 64, Max: 64}
	sources := map[string]func(seed uint64) prompts{
		"tokens": func(seed uint64) prompts { return randomTokens{seed: seed, length: length} },
		"words":  func(seed uint64) prompts { return randomWords{seed: seed, length: length} },
	}
	allow := cmp.AllowUnexported(prompt{})
	for name, source := range sources {
		if diff := cmp.Diff(source(1).prompt(5), source(1).prompt(5), allow); diff != "" {
			t.Errorf("%s: differ with one seed and number:\n%s", name, diff)
		}
		if cmp.Equal(source(1).prompt(5), source(1).prompt(6), allow) || cmp.Equal(source(1).prompt(5), source(2).prompt(5), allow) {
			t.Errorf("%s: same with another seed or number", name)
		}
	}
}

func TestRandomWords(t *testing.T) {
	p := randomWords{seed: 3, length: TokenRange{Min: 100, Max: 100}}.prompt(0)
	if n := len(strings.Fields(p.text)); n != 100 || p.tokens != 100 || p.exact {
		t.Errorf("%d words, said to be %d tokens (exact: %v)", n, p.tokens, p.exact)
	}
	sorted := slices.Sorted(slices.Values(words))
	if len(slices.Compact(sorted)) != len(words) {
		t.Error("a word is there twice")
	}
}

func TestRequestBody(t *testing.T) {
	const rest = `,"max_tokens":7,"temperature":0,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`
	tests := []struct {
		name  string
		api   API
		model []byte
		p     prompt
		want  string
	}{
		{"token ids", Completions, []byte(`"tiny"`), prompt{ids: []int{10, 249}}, `{"model":"tiny","prompt":[10,249]` + rest},
		{"text", Completions, []byte(`"tiny"`), prompt{text: "a \"b\"\n"}, `{"model":"tiny","prompt":"a \"b\"\n"` + rest},
		{"no model", Completions, nil, prompt{ids: []int{10}}, `{"prompt":[10]` + rest},
		{"chat text", Chat, []byte(`"tiny"`), prompt{text: "hi"}, `{"model":"tiny","messages":[{"role":"user","content":"hi"}]` + rest},
		{"chat messages", Chat, nil, prompt{messages: []byte(`[{"role":"system","content":"x"}]`)}, `{"messages":[{"role":"system","content":"x"}]` + rest},
	}
	for _, test := range tests {
		body, err := requestBody(test.api, test.model, test.p, 7)
		if err != nil {
			t.Fatal(err)
		}
		if string(body) != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, body, test.want)
		}
		if !json.Valid(body) {
			t.Errorf("%s: not JSON", test.name)
		}
	}
	if _, err := requestBody(Chat, nil, prompt{ids: []int{1}}, 7); err == nil {
		t.Error("token ids to the chat API: no error")
	}
}
