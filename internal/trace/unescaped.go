package trace

// Old Kineto wrote names and arguments without escaping the quotes and the
// backslashes in them ("name": "say "hi"", "path": "C:\dir\"). Where a string
// ends too early what follows is no JSON; where one ends too late, all strings
// after it begin where they should end, most often to the end of the file.

// unescapedDetail is what is said of such a text.
const unescapedDetail = "it looks like a quote or a backslash that the writer did not escape"

// unescaped finds, in the bytes of a value that cannot be read, the quote that
// ends a string behind which nothing is that may follow one.
func unescaped(b []byte) (at int, found bool) {
	var objects [maxDepth]bool // of each level: is it an object
	depth, i := 0, 0
	key := false // a key is due
	text := -1   // the end of the string before the comma before i
	for {
		if i = skipSpace(b, i); i >= len(b) {
			return 0, false
		}
		c := b[i]
		before := text
		text = -1
		switch c {
		case '{', '[':
			if depth == maxDepth {
				return 0, false
			}
			objects[depth] = c == '{'
			depth++
			key = c == '{'
		case '}', ']':
			if depth--; depth <= 0 || objects[depth] != (c == '}') {
				return 0, false
			}
			key = false
		case ',':
			text, key = before, depth > 0 && objects[depth-1]
		case ':':
			key = false
		case '"':
			end := skipString(b, i)
			if end < 0 {
				return 0, false
			}
			next := skipSpace(b, end)
			if next >= len(b) {
				return 0, false
			}
			if depth > 0 && !mayFollow(b[next], key, objects[depth-1]) {
				return end - 1, true
			}
			if !key {
				text = end - 1
			}
			i = end
			continue
		default:
			if key && before >= 0 { // a text with a quote and a comma in it
				return before, true
			}
			for i+1 < len(b) && byteClasses[b[i+1]] == ordinary {
				i++
			}
		}
		i++
	}
}

// mayFollow says whether a byte may stand behind a string.
func mayFollow(c byte, key, inObject bool) bool {
	switch {
	case key:
		return c == ':'
	case inObject:
		return c == ',' || c == '}'
	default:
		return c == ',' || c == ']'
	}
}
