package gate

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

var rangePattern = regexp.MustCompile(`^bytes=([0-9]*)-([0-9]*)$`)

// byteRange gives the first and the last byte that a Range header with one range
// asks for, of so many; the whole without one.
func byteRange(header string, size int64) (first, last int64, refused *refusal) {
	if header == "" {
		return 0, size - 1, nil
	}
	m := rangePattern.FindStringSubmatch(strings.TrimSpace(header))
	if m == nil || m[1] == "" && m[2] == "" {
		return 0, 0, badRange("want a range like bytes=0-99")
	}
	first, last = 0, size-1
	switch {
	case m[1] == "":
		first = max(size-offset(m[2], size), 0)
	default:
		first = offset(m[1], size)
		if m[2] != "" {
			last = min(offset(m[2], size), size-1)
		}
	}
	if first > last || first >= size {
		return 0, 0, badRange(fmt.Sprintf("the file has %d bytes", size))
	}
	return first, last, nil
}

// offset reads a number of bytes; one that no number can hold is beyond the file.
func offset(digits string, size int64) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return size
	}
	return n
}

func badRange(message string) *refusal {
	return &refusal{status: http.StatusRequestedRangeNotSatisfiable, code: "range", message: message}
}
