package trace

import "strings"

// embeddedTokensText is embeddedTokens for torch_npu, which writes Input Dims as text:
// "151936,4096;16;;", with a line break after each semicolon.
func embeddedTokensText(dims []byte) int64 {
	unquoted := appendUnquoted(nil, dims[1:len(dims)-1])
	if len(unquoted) > 0 && unquoted[0] == '[' {
		return embeddedTokens(unquoted)
	}
	inputs := strings.SplitN(string(unquoted), ";", 3)
	if len(inputs) < 2 {
		return NotKnown
	}
	text := strings.TrimSpace(inputs[1])
	if text == "" {
		return NotKnown
	}
	tokens := int64(1)
	for part := range strings.SplitSeq(text, ",") {
		n, ok := parseInt([]byte(strings.TrimSpace(part)))
		if !ok || n < 0 || n > 1<<30 || tokens > 1<<30 {
			return NotKnown
		}
		tokens *= n
	}
	return tokens
}
