package embedded

import (
	"strings"
	"testing"
)

func TestRoom(t *testing.T) {
	n := func(v int) *int { return &v }
	for _, tc := range []struct {
		dialect Dialect
		chat    bool
		prompt  int
		wanted  *int
		want    int    // 0 where it is refused
		message string // a part of the refusal
	}{
		{V032, false, 2000, n(16), 16, ""},
		{V032, false, 2040, n(16), 8, ""},
		{V032, false, 2000, nil, 48, ""},
		{V032, false, 3, n(2049), 0, "max_tokens=2049 cannot be greater"},
		{V032, true, 2048, nil, 0, "your prompt contains 2048 input tokens"},
		{V015, false, 2032, n(16), 16, ""},
		{V015, false, 2040, n(16), 0, "length is 2032 tokens. However, your request has 2040 input tokens"},
		{V011, false, 3, n(4096), 0, "length is -2048 tokens"},
		{V011, false, 2048, nil, 0, "length is 2048 tokens"},
		{V011, false, 2047, nil, 1, ""},
		{V015, true, 2040, n(8), 8, ""},
		{V015, true, 2040, n(9), 0, "is too large: 9. This model's maximum context length is 2048 tokens and your request has 2040 input tokens (9 > 2048 - 2040). (parameter=max_tokens, value=9)"},
		{V011, true, 2040, nil, 8, ""},
		{V011, true, 2050, n(1), 0, "length is 2048 tokens"},
	} {
		s := &Server{config: Config{Dialect: tc.dialect, MaxModelLen: 2048}}
		room := s.textRoom
		if tc.chat {
			room = s.chatRoom
		}
		got, refused := room(tc.prompt, tc.wanted)
		switch {
		case (refused != nil) != (tc.want == 0) || got != tc.want:
			t.Errorf("%+v: %d, %v", tc, got, refused)
		case refused != nil && !strings.Contains(refused.Message, tc.message):
			t.Errorf("%+v: %s", tc, refused.Message)
		}
	}
}
