package guard

import (
	"bufio"
	"io"
	"strings"
	"time"
)

// The words of the log by which ReadLog finds what became of a stop.
const (
	logTime       = "2006-01-02T15:04:05.000Z"
	ofProfiler    = "stop of the profiler at "
	ofGate        = "disarming of the gate at "
	wordSent      = ": sent"
	wordDone      = ": done after "
	wordAnswered  = ": answered after "
	wordGivenUp   = ": GIVEN UP"
	maxLogLine    = 1 << 20
	maxLogEntries = 100_000
)

// Stopped is what a guard's log says of the stop of one endpoint. Times are those
// of the first request and the last answer; zero where there was none.
type Stopped struct {
	Sent, Answered time.Time
	Done           bool   // the server has answered, be it with an error
	Error          string // of an answer that was one
}

// ReadLog gives what a guard did, by endpoint. Lines that it does not know are
// passed over: the last may be cut off.
func ReadLog(r io.Reader) map[string]Stopped {
	all := map[string]Stopped{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4<<10), maxLogLine)
	for n := 0; lines.Scan() && n < maxLogEntries; n++ {
		stamp, text, _ := strings.Cut(lines.Text(), " ")
		at, err := time.Parse(logTime, stamp)
		if err != nil {
			continue
		}
		rest, isStop := strings.CutPrefix(text, ofProfiler)
		if !isStop {
			if rest, isStop = strings.CutPrefix(text, ofGate); !isStop {
				continue
			}
		}
		// The endpoint has colons; what follows it begins with ": ".
		i := strings.Index(rest, ": ")
		if i < 0 {
			continue
		}
		endpoint, what := rest[:i], rest[i:]
		s := all[endpoint]
		switch {
		case what == wordSent && s.Sent.IsZero():
			s.Sent = at
		case strings.HasPrefix(what, wordDone):
			s.Answered, s.Done, s.Error = at, true, ""
		case strings.HasPrefix(what, wordAnswered):
			if !s.Done { // after a stop that was done, another finds nothing
				_, s.Error, _ = strings.Cut(what[len(wordAnswered):], ": ")
			}
			s.Answered, s.Done = at, true
		}
		all[endpoint] = s
	}
	return all
}
