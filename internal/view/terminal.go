package view

import (
	"fmt"
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"profjob/internal/event"
)

// Terminal shows a run's events as lines above one moving line that tells what
// goes on now.
type Terminal struct {
	progress *mpb.Progress
	bar      *mpb.Bar // of the plan step that runs; nil between plan steps

	mu    sync.Mutex
	title string
	text  string
}

// NewTerminal makes a view for a terminal. Close must be called.
func NewTerminal(out io.Writer) *Terminal {
	return &Terminal{progress: mpb.New(mpb.WithOutput(out), mpb.WithWidth(40), mpb.WithAutoRefresh())}
}

// Read shows one event.
func (t *Terminal) Read(e event.Entry) error {
	switch ev := e.Event.(type) {
	case event.StepStarted:
		t.begin(ev)
	case event.Progress:
		t.move(ev)
	case event.StepFinished, event.StepFailed:
		t.end()
	}
	for _, line := range lines(e.Event) {
		if _, err := fmt.Fprintln(t.progress, line); err != nil {
			return fmt.Errorf("show progress: %w", err)
		}
	}
	return nil
}

// Close takes the moving line away and waits until all is written.
func (t *Terminal) Close() {
	t.end()
	t.progress.Wait()
}

func (t *Terminal) begin(ev event.StepStarted) {
	t.end()
	t.set(ev.StepKind, "")
	t.bar = t.progress.New(0, mpb.BarStyle().Lbound("").Filler("━").Tip("").Padding("─").Rbound(""),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return "  " + t.name() }, decor.WC{W: 12, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 5}), decor.Any(func(decor.Statistics) string { return "  " + t.what() })))
}

func (t *Terminal) move(ev event.Progress) {
	if t.bar == nil {
		return
	}
	text := ev.Text
	if ev.Total > 0 && ev.Unit != "ms" {
		text = fmt.Sprintf("%s: %d/%d %s", ev.Text, ev.Done, ev.Total, ev.Unit)
	}
	t.set("", text)
	if ev.Total > 0 {
		t.bar.SetTotal(ev.Total+1, false) // a bar that is full would go before its plan step has ended
		t.bar.SetCurrent(ev.Done)
	}
}

func (t *Terminal) end() {
	if t.bar == nil {
		return
	}
	t.bar.Abort(true)
	t.bar.Wait()
	t.bar = nil
}

func (t *Terminal) set(title, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if title != "" {
		t.title = title
	}
	t.text = text
}

func (t *Terminal) name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.title
}

func (t *Terminal) what() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text
}
