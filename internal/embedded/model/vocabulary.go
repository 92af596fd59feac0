package model

// The vocabulary: a token for each byte, and a few special ones. The rest of
// the 512 ids is valid in a prompt and never generated.
const (
	Vocabulary = 512

	BOS       = 256 // before a chat
	EOS       = 257 // ends an answer
	System    = 258 // before a system message
	User      = 259 // before a user's message
	Assistant = 260 // before an assistant's message
)

// Encode gives the tokens of a text: its bytes.
func Encode(text string) []int32 {
	tokens := make([]int32, len(text))
	for i := range len(text) {
		tokens[i] = int32(text[i])
	}
	return tokens
}

// Decode gives the text of one token; special tokens have none.
func Decode(token int32) string {
	if token < 0 || token > 255 {
		return ""
	}
	return string([]byte{byte(token)})
}

// generated says which tokens the model may answer with: printable ASCII, a
// line break, and the end. Rows of the head for all others are zero, so that
// every answer is valid text.
func generated(token int) bool {
	return token == EOS || token == '\n' || token >= ' ' && token <= '~'
}
