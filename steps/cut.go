package steps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"profjob/internal/archive"
	"profjob/internal/trace"
)

// cut trims a trace to the engine steps asked for, and reads the cut file again:
// what that one holds is what counts.
func (v *Verify) cut(ctx context.Context, run *Run, f archive.File, scan *trace.Summary, w *archive.Window, result *VerifyResult) error {
	chosen, err := trace.Select(scan.Passes, v.selection())
	if err != nil {
		w.Reason = err.Error()
		if v.Tokens != nil {
			w.Reason = v.Tokens.missed(scan.Passes, v.Count)
		}
		return nil
	}
	rel := trace.CutName(f.Path)
	dst := run.Dir.Join(filepath.FromSlash(rel))
	src := run.Dir.Join(filepath.FromSlash(f.Path))
	if _, err := trace.Trim(ctx, src, dst, chosen); err != nil {
		return err
	}
	again, err := trace.ScanWith(ctx, dst, trace.ScanOptions{Evidence: scan.Evidence})
	if err != nil {
		return fmt.Errorf("read the cut trace: %w", err)
	}
	sum, err := hashFile(ctx, dst)
	if err != nil {
		return err
	}
	cut := f
	cut.Path, cut.Size, cut.SHA256, cut.TrimmedFrom = rel, sum.Size, sum.SHA256, f.Path
	result.Files = append(result.Files, cut)
	recorded := w.Got
	w.Got, w.File = gotOf(scan.Passes[chosen.First:chosen.Last+1]), rel
	w.Got.RecordedSteps, w.Got.IdlePasses, w.Got.Trimmed = recorded.RecordedSteps, recorded.IdlePasses, true
	w.Reason = differences(w.Got, gotOf(again.Passes), v.Count)
	w.Exact = w.Reason == ""
	return nil
}

// dropOriginals removes the uncut files, now that every window is what was asked.
func (v *Verify) dropOriginals(run *Run, result *VerifyResult) error {
	for _, cut := range slices.Clone(result.Files) {
		if cut.TrimmedFrom == "" {
			continue
		}
		if err := os.Remove(run.Dir.Join(filepath.FromSlash(cut.TrimmedFrom))); err != nil {
			return incomplete("verify: keep_original = false: %w", err)
		}
		result.Files = slices.DeleteFunc(result.Files, func(o archive.File) bool { return o.Path == cut.TrimmedFrom })
		result.Removed = append(result.Removed, cut.TrimmedFrom)
	}
	return nil
}

// differences compares the steps chosen with those that the cut file shows.
func differences(chosen, cut archive.Got, count int) string {
	if cut.Steps != count {
		return fmt.Sprintf("the cut trace shows %d engine steps", cut.Steps)
	}
	same := func(a, b archive.Step) bool {
		return a.Name == b.Name && (a.Tokens == nil) == (b.Tokens == nil) && (a.Tokens == nil || *a.Tokens == *b.Tokens)
	}
	if !slices.EqualFunc(chosen.EngineSteps, cut.EngineSteps, same) {
		return "the cut trace shows other engine steps than were chosen"
	}
	return ""
}

// hashFile gives a file's size and SHA-256. It ends with ctx: a trace may have gigabytes.
func hashFile(ctx context.Context, path string) (archive.Copied, error) {
	f, err := os.Open(path)
	if err != nil {
		return archive.Copied{}, fmt.Errorf("hash: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, untilDone{ctx, f})
	if err != nil {
		return archive.Copied{}, fmt.Errorf("hash %s: %w", path, err)
	}
	return archive.Copied{Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// untilDone reads until its context is done.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
