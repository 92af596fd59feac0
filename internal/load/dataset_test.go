package load

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadDataset(t *testing.T) {
	completions := `{"prompt": "Hello", "id": 7}

{"prompt": [1, 2, 3], "output_tokens": 5}
`
	want := dataset{
		{text: "Hello"},
		{ids: []int{1, 2, 3}, tokens: 3, exact: true, outputTokens: 5},
	}
	got, err := readDataset(strings.NewReader(completions), Completions)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(prompt{})); diff != "" {
		t.Errorf("completions (-want +got):\n%s", diff)
	}

	chat := "{\"prompt\": \"Hello\"}\r\n" + `{"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "prompt": null}`
	want = dataset{
		{text: "Hello"},
		{messages: []byte(`[{"role": "user", "content": [{"type": "text", "text": "x"}]}]`)},
	}
	got, err = readDataset(strings.NewReader(chat), Chat)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(prompt{})); diff != "" {
		t.Errorf("chat (-want +got):\n%s", diff)
	}
	for seq, text := range []string{"Hello", "", "Hello", ""} {
		if got.prompt(uint64(seq)).text != text {
			t.Errorf("request %d does not get its line", seq)
		}
	}
}

func TestReadDatasetErrors(t *testing.T) {
	const good = `{"prompt": "Hello"}` + "\n"
	tests := []struct {
		name  string
		api   API
		lines string
		want  string
	}{
		{"empty", Completions, "\n\n", "no prompt in it"},
		{"no JSON", Completions, good + "\n" + `{"prompt": `, "line 3: not a JSON object of a prompt"},
		{"no object", Completions, good + `["a"]`, "line 2: not a JSON object of a prompt"},
		{"neither", Completions, `{"text": "a"}`, `line 1: exactly one of "prompt" and "messages"`},
		{"both", Chat, `{"prompt": "a", "messages": [{"role": "user"}]}`, `line 1: exactly one of "prompt" and "messages"`},
		{"messages to completions", Completions, good + `{"messages": [{"role": "user"}]}`, `line 2: "messages" needs the chat api`},
		{"ids to chat", Chat, good + `{"prompt": [1]}`, `line 2: a "prompt" of token ids needs the completions api`},
		{"empty text", Completions, `{"prompt": ""}`, `line 1: "prompt" is empty`},
		{"empty ids", Completions, `{"prompt": []}`, `line 1: "prompt" is empty`},
		{"number", Completions, `{"prompt": 7}`, `line 1: "prompt" must be a string or an array of token ids`},
		{"fraction", Completions, `{"prompt": [1.5]}`, `line 1: "prompt" must be a string or an array of token ids`},
		{"negative id", Completions, `{"prompt": [5, -1]}`, `line 1: "prompt": -1 at place 1 is no token id`},
		{"messages no array", Chat, `{"messages": "a"}`, `line 1: "messages" must be an array of objects`},
		{"no message", Chat, `{"messages": []}`, `line 1: "messages" is empty`},
		{"no role", Chat, `{"messages": [{"role": "user"}, {"content": "a"}]}`, `line 1: "messages": the one at place 1 has no role`},
		{"no output", Completions, good + good + `{"prompt": "a", "output_tokens": 0}`, "line 3: output_tokens is 0; it must be from 1 to"},
		{"output no number", Completions, `{"prompt": "a", "output_tokens": "x"}`, "line 1: not a JSON object of a prompt"},
		{"long line", Completions, good + `{"prompt": "` + strings.Repeat("x", maxDatasetLine) + `"}`, "line 2: longer than the limit of 16777216 bytes for a line"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readDataset(strings.NewReader(test.lines), test.api)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestLoadDatasetNamesTheFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.jsonl")
	if _, err := loadDataset(missing, Chat); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("error %v does not name the file", err)
	}
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadDataset(bad, Chat); err == nil || !strings.Contains(err.Error(), bad+": line 1") {
		t.Errorf("error %v does not name the file and line", err)
	}
}

func FuzzParsePrompt(f *testing.F) {
	f.Add([]byte(`{"prompt": [1, 2], "output_tokens": 5}`), false)
	f.Add([]byte(`{"messages": [{"role": "user", "content": "x"}]}`), true)
	f.Add([]byte(`{"prompt": "x"}`), true)
	f.Fuzz(func(t *testing.T, line []byte, chat bool) {
		api := Completions
		if chat {
			api = Chat
		}
		p, err := parsePrompt(line, api)
		if err != nil {
			return
		}
		if _, err := requestBody(api, nil, p, 1); err != nil {
			t.Errorf("a prompt that was read makes no request: %v", err)
		}
	})
}
