package model

import (
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"profjob/internal/embedded/kineto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newModel(t testing.TB, change func(*Config)) *Model {
	t.Helper()
	c := Tiny(7)
	if change != nil {
		change(&c)
	}
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// generate reads a prompt in chunks and answers with n tokens.
func generate(t testing.TB, m *Model, prompt []int32, chunk, n int) []int32 {
	t.Helper()
	s := &Sequence{}
	defer m.Release(s)
	var answer []int32
	next := prompt
	for len(answer) < n {
		part := next[:min(chunk, len(next))]
		next = next[len(part):]
		logits, err := m.Forward([]Item{{Sequence: s, Tokens: part, Sample: len(next) == 0}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		tokens := m.Argmax(logits, nil)
		if len(next) == 0 {
			answer = append(answer, tokens[0])
			next = tokens
		}
	}
	return answer
}

func TestAnswerDependsOnPromptAndSeed(t *testing.T) {
	m := newModel(t, nil)
	prompt := Encode("The quick brown fox")
	first := generate(t, m, prompt, 512, 24)
	if again := generate(t, newModel(t, nil), prompt, 512, 24); !slices.Equal(first, again) {
		t.Errorf("the same seed gives %v, then %v", first, again)
	}
	if other := generate(t, newModel(t, func(c *Config) { c.Seed = 8 }), prompt, 512, 24); slices.Equal(first, other) {
		t.Error("another seed gives the same answer")
	}
	if other := generate(t, m, Encode("The quick brown fix"), 512, 24); slices.Equal(first, other) {
		t.Error("another prompt gives the same answer")
	}
	for _, token := range first {
		if !generated(int(token)) {
			t.Errorf("token %d was generated", token)
		}
	}
	if distinct := len(slices.Compact(slices.Sorted(slices.Values(first)))); distinct < 4 {
		t.Errorf("the answer %v has %d distinct tokens: the model looks dead", first, distinct)
	}
}

func TestAnswerIsTheSameForEveryChunkingAndThreads(t *testing.T) {
	prompt := Encode("It was the best of times, it was the worst of times, it was the age")
	want := generate(t, newModel(t, nil), prompt, len(prompt), 16)
	for _, threads := range []int{1, 2, 3} {
		m := newModel(t, func(c *Config) { c.Threads = threads })
		for _, chunk := range []int{1, 7, 16, 33} {
			if got := generate(t, m, prompt, chunk, 16); !slices.Equal(got, want) {
				t.Errorf("%d threads, chunks of %d: %v, want %v", threads, chunk, got, want)
			}
		}
	}
}

func TestAnswerIsTheSameInEveryCompany(t *testing.T) {
	m := newModel(t, nil)
	var prompts [][]int32
	for i := range 5 {
		prompts = append(prompts, Encode(fmt.Sprintf("prompt %d%*d", i, 9*i, i)))
	}
	var want [][]int32
	for _, p := range prompts {
		want = append(want, generate(t, m, p, 512, 8))
	}
	// All at once: sequence i joins at pass i, so that batches are mixed.
	sequences := make([]Sequence, len(prompts))
	next := slices.Clone(prompts)
	got := make([][]int32, len(prompts))
	for step := 0; step < 8+len(prompts); step++ {
		var batch []Item
		var who []int
		for i := range prompts {
			if i <= step && len(got[i]) < 8 {
				batch = append(batch, Item{Sequence: &sequences[i], Tokens: next[i], Sample: true})
				who = append(who, i)
			}
		}
		if len(batch) == 0 {
			break
		}
		logits, err := m.Forward(batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		for j, token := range m.Argmax(logits, nil) {
			got[who[j]] = append(got[who[j]], token)
			next[who[j]] = []int32{token}
		}
	}
	for i := range prompts {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("sequence %d in company: %v, alone: %v", i, got[i], want[i])
		}
	}
}

func TestForwardRefusesWhatItCannotRun(t *testing.T) {
	m := newModel(t, func(c *Config) { c.MaxLen, c.Blocks = 40, 2 })
	for _, tc := range []struct {
		name   string
		tokens []int32
	}{
		{"nothing", nil},
		{"not in the vocabulary", []int32{512}},
		{"negative", []int32{-1}},
		{"too long", make([]int32, 41)},
		{"cache full", make([]int32, 33)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Sequence{}
			defer m.Release(s)
			if _, err := m.Forward([]Item{{Sequence: s, Tokens: tc.tokens}}, nil); err == nil {
				t.Error("no error")
			}
			if s.Len() != 0 {
				t.Errorf("the sequence has %d tokens", s.Len())
			}
		})
	}
	if n := m.UsedBlocks(); n != 0 {
		t.Errorf("%d blocks are still in use", n)
	}
}

func TestNewRefusesImpossibleSizes(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"zero":         func(c *Config) { c.Layers = 0 },
		"heads":        func(c *Config) { c.KVHeads = 3 },
		"hidden":       func(c *Config) { c.Hidden = 255 },
		"head dim":     func(c *Config) { c.HeadDim = 2 },
		"intermediate": func(c *Config) { c.Intermediate = 7 },
	} {
		c := Tiny(1)
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Without a recorder an operator's name and inputs must cost no memory.
func TestNotRecordingAllocatesNothing(t *testing.T) {
	m := newModel(t, func(c *Config) { c.Threads = 1 })
	x := m.pool.take(nil, 4, m.config.Hidden)
	if n := testing.AllocsPerRun(20, func() {
		m.pool.give(nil, m.rmsNorm(nil, x, m.weights.norm, 0))
		m.pool.give(nil, m.linear(nil, x, m.weights.head, Vocabulary))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecodeStep(b *testing.B) {
	for _, requests := range []int{1, 4, 64} {
		for _, record := range []bool{false, true} {
			b.Run(fmt.Sprintf("requests=%d/record=%v", requests, record), func(b *testing.B) {
				m := newModel(b, nil)
				batch := make([]Item, requests)
				for i := range batch {
					batch[i] = Item{Sequence: &Sequence{}, Tokens: make([]int32, 64)}
				}
				for i := range batch {
					if _, err := m.Forward(batch[i:i+1], nil); err != nil {
						b.Fatal(err)
					}
					batch[i].Tokens, batch[i].Sample = []int32{65}, true
				}
				for b.Loop() {
					var rec *kineto.Recorder
					if record {
						rec = kineto.NewRecorder(kineto.Options{Shapes: true})
					}
					logits, err := m.Forward(batch, rec)
					if err != nil {
						b.Fatal(err)
					}
					m.Argmax(logits, rec)
					for i := range batch {
						batch[i].Sequence.length = 64 // keep the context as long as it is
					}
				}
			})
		}
	}
}
