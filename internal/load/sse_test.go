package load

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// readEvents gives all events of a stream and the error that ended it.
func readEvents(r *eventReader) ([]string, error) {
	var events []string
	for {
		data, err := r.next()
		if err != nil {
			return events, err
		}
		events = append(events, string(data))
	}
}

func TestEventReader(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []string
	}{
		{"empty", "", nil},
		{"one", "data: a\n\n", []string{"a"}},
		{"two", "data: a\n\ndata: b\n\n", []string{"a", "b"}},
		{"without space", "data:a\n\n", []string{"a"}},
		{"only one space is dropped", "data:  a\n\n", []string{" a"}},
		{"carriage return and line feed", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		{"carriage return", "data: a\r\rdata: b\r\r", []string{"a", "b"}},
		{"mixed ends", "data: a\r\n\ndata: b\r\n\rdata: c\n\n", []string{"a", "b", "c"}},
		{"several data lines", "data: a\ndata: b\ndata: c\n\n", []string{"a\nb\nc"}},
		{"comments", ": ping\n\ndata: a\n: ping\n\n: ping\n\n", []string{"a"}},
		{"other fields", "event: message\nid: 7\nretry: 10\ndata: a\nother\n\n", []string{"a"}},
		{"name must match", "dat: a\ndatas: b\n data: c\n\ndata: d\n\n", []string{"d"}},
		{"empty data is no event", "data\n\ndata:\n\ndata: \n\ndata: a\n\n", []string{"a"}},
		{"empty data lines", "data\ndata\n\n", []string{"\n"}},
		{"blank lines", "\n\n\n\ndata: a\n\n\n\n", []string{"a"}},
		{"colons in data", "data: {\"a\":\"b: c\"}\n\n", []string{`{"a":"b: c"}`}},
		{"byte order mark", "\xef\xbb\xbfdata: a\n\n", []string{"a"}},
		{"byte order mark later", "data: a\n\n\xef\xbb\xbfdata: b\n\n", []string{"a"}},
		{"cut off before the blank line", "data: a\n\ndata: b\n", []string{"a", "b"}},
		{"cut off before the line's end", "data: a\n\ndata: b", []string{"a", "b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for name, source := range ways(test.stream) {
				got, err := readEvents(newEventReader(source))
				if err != io.EOF {
					t.Errorf("%s: error %v, want EOF", name, err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s: events (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// ways are readers that give a stream in different pieces.
func ways(stream string) map[string]io.Reader {
	return map[string]io.Reader{
		"at once":        strings.NewReader(stream),
		"byte by byte":   iotest.OneByteReader(strings.NewReader(stream)),
		"halves":         iotest.HalfReader(strings.NewReader(stream)),
		"EOF with bytes": iotest.DataErrReader(strings.NewReader(stream)),
	}
}

func TestEventReaderLongLine(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	got, err := readEvents(newEventReader(iotest.HalfReader(strings.NewReader("data: " + long + "\n\ndata: b\n\n"))))
	if err != io.EOF || len(got) != 2 || got[0] != long || got[1] != "b" {
		t.Errorf("got %d events, error %v", len(got), err)
	}
}

func TestEventReaderLimits(t *testing.T) {
	limits := streamLimits{line: 20, event: 30, total: 100}
	tests := []struct {
		name, stream, want string
		events             int
	}{
		{"line with an end", "data: a\n\ndata: " + strings.Repeat("x", 15) + "\n", "line longer than the limit of 20 bytes", 1},
		{"line without an end", "data: " + strings.Repeat("x", 50), "line longer than the limit of 20 bytes", 0},
		{"comment", ":" + strings.Repeat("x", 50), "line longer than the limit of 20 bytes", 0},
		{"event", strings.Repeat("data: 0123456789\n", 4), "event larger than the limit of 30 bytes", 0},
		{"stream", strings.Repeat("data: 12345678\n\n", 7), "answer larger than the limit of 100 bytes", -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for name, source := range ways(test.stream) {
				r := newEventReader(source)
				r.limits = limits
				got, err := readEvents(r)
				if err == nil || err.Error() != test.want {
					t.Errorf("%s: error %v, want %s", name, err, test.want)
				}
				if test.events >= 0 && len(got) != test.events {
					t.Errorf("%s: %d events before the error, want %d", name, len(got), test.events)
				}
			}
		})
	}
}

func TestEventReaderError(t *testing.T) {
	broken := errors.New("connection reset")
	source := io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken))
	got, err := readEvents(newEventReader(source))
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if diff := cmp.Diff([]string{"a"}, got); diff != "" {
		t.Errorf("an event that a broken connection cut off must not be given (-want +got):\n%s", diff)
	}
}

// An event must be given as soon as its blank line is there: what follows may be
// long in coming.
func TestEventReaderDoesNotReadAhead(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\n\r\n", "\r\r", "\r\n\r"} {
		source := io.MultiReader(strings.NewReader("data: a"+end), iotest.ErrReader(errors.New("read too far")))
		data, err := newEventReader(source).next()
		if err != nil || string(data) != "a" {
			t.Errorf("end %q: got %q, %v", end, data, err)
		}
	}
}

func FuzzEventReader(f *testing.F) {
	f.Add([]byte("data: a\n\ndata: b\r\n\r\n: c\r\rdata"))
	f.Add([]byte("\xef\xbb\xbfdata: {\"choices\":[{\"text\":\"x\"}]}\n\ndata: [DONE]\n\n"))
	f.Add([]byte("data\ndata:\ndata: \r\n\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		limits := streamLimits{line: 64, event: 96, total: 1 << 20}
		read := func(source io.Reader) ([]string, error) {
			r := newEventReader(source)
			r.limits = limits
			return readEvents(r)
		}
		whole, err := read(bytes.NewReader(stream))
		pieces, pieceErr := read(iotest.OneByteReader(bytes.NewReader(stream)))
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Errorf("events depend on how the stream is cut (-whole +pieces):\n%s", diff)
		}
		if err.Error() != pieceErr.Error() {
			t.Errorf("error depends on how the stream is cut: %v, %v", err, pieceErr)
		}
		for _, event := range whole {
			if event == "" || len(event) > limits.event {
				t.Errorf("event of %d bytes", len(event))
			}
			// What was read can be written again and gives the same.
			text := "data: " + strings.ReplaceAll(event, "\n", "\ndata: ") + "\n\n"
			again, _ := readEvents(newEventReader(strings.NewReader(text)))
			if len(again) != 1 || again[0] != event {
				t.Errorf("event %q written again gives %q", event, again)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"choices":[{"text":"a","finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`))
	f.Add([]byte(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`))
	f.Add([]byte(`{"error":{"message":"no"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a answer
		if err := a.event(data, start); err != nil {
			if len(err.Error()) > 8*maxMessage {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if a.chunks > 1 {
			t.Errorf("one event made %d token chunks", a.chunks)
		}
	})
}
