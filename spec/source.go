package spec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of what is read from files.
const (
	maxConfigSize = 4 << 20 // a job file or a file of variables
	maxFileSize   = 1 << 20 // a file read by the function file
)

// Source is a file that was read while a job file was evaluated, in a form that may be kept.
type Source struct {
	// Path is relative to File.Dir where the file lies below it, otherwise as it was given.
	Path string
	// SHA256 is the hex digest of the file as it was read.
	SHA256 string
	// Redacted is the content with sensitive values replaced; nil where the file
	// holds nothing else and only its hash may be kept.
	Redacted []byte
}

// source is a file that was read.
type source struct {
	name string // as in ranges and messages: the path as given
	path string // absolute
	text []byte
	// virtual sources, such as the text of a --var, are there for snippets only.
	virtual bool
	// config is true for HCL, false for what the function file has read.
	config bool
	// hashOnly is set when the file holds nothing but secrets.
	hashOnly bool
	// notText is set when there are no lines to show.
	notText bool
	// redactions are the places of sensitive values, unordered.
	redactions []redaction
	body       *hclsyntax.Body // nil if not HCL or not parsed
}

// sources are all files that one call of LoadFile has read, and the secrets
// that must not be seen in what is kept or shown of them.
type sources struct {
	dir    string // of the job file
	report *reporter
	list   []*source
	// secrets are the sensitive strings that were met.
	secrets map[string]bool
}

func newSources(dir string, report *reporter) *sources {
	return &sources{dir: dir, report: report, secrets: map[string]bool{}}
}

// readMain reads the job file itself.
func (s *sources) readMain(ctx context.Context, path string) (*source, bool) {
	return s.readConfig(ctx, path, "job file")
}

// addMain takes the job file's text instead of reading it.
func (s *sources) addMain(path string, text []byte) (*source, bool) {
	if len(text) > maxConfigSize {
		s.report.errorAt(hcl.Range{}, "File too large", "The job file %s is larger than %s.", path, formatSize(maxConfigSize))
		return nil, false
	}
	return s.add(&source{name: path, path: s.absolute(path), text: text, config: true}), true
}

// readVarFile reads a file given with --var-file.
func (s *sources) readVarFile(ctx context.Context, path string) (*source, bool) {
	return s.readConfig(ctx, path, "file of variables")
}

func (s *sources) readConfig(ctx context.Context, path, what string) (*source, bool) {
	text, err := readLimited(ctx, path, maxConfigSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.report.errorAt(hcl.Range{}, "File not found", "There is no %s %s.", what, path)
		return nil, false
	case errors.Is(err, errIsDirectory):
		s.report.errorAt(hcl.Range{}, "Not a file", "The %s %s is a directory.", what, path)
		return nil, false
	case errors.Is(err, errTooLarge):
		s.report.errorAt(hcl.Range{}, "File too large", "The %s %s is larger than %s.", what, path, formatSize(maxConfigSize))
		return nil, false
	case ctx.Err() != nil:
		return nil, false
	case err != nil:
		s.report.errorAt(hcl.Range{}, "File not readable", "The %s %s cannot be read: %s.", what, path, err)
		return nil, false
	}
	return s.add(&source{name: path, path: s.absolute(path), text: text, config: true}), true
}

// readFile reads what the function file names, relative to the job file. A file
// is read once: asked for again, it has not changed.
func (s *sources) readFile(ctx context.Context, path string) (*source, error) {
	full := path
	if !filepath.IsAbs(full) {
		full = filepath.Join(s.dir, full)
	}
	for _, src := range s.list {
		if src.path == full && !src.config && !src.virtual {
			return src, nil
		}
	}
	text, err := readLimited(ctx, full, maxFileSize)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, fmt.Errorf("%s is larger than %s", path, formatSize(maxFileSize))
	case err != nil:
		return nil, fmt.Errorf("cannot read %s: %w", path, withoutPath(err))
	case !utf8.Valid(text):
		return nil, fmt.Errorf("%s is not UTF-8 text", path)
	}
	return s.add(&source{name: path, path: full, text: text}), nil
}

// addVirtual makes a text that comes from no file known, so that diagnostics can show it.
func (s *sources) addVirtual(name string, text []byte) *source {
	return s.add(&source{name: name, text: text, virtual: true, config: true})
}

func (s *sources) add(src *source) *source {
	s.list = append(s.list, src)
	return src
}

// byName finds the source that a range belongs to.
func (s *sources) byName(name string) *source {
	for _, src := range s.list {
		if src.name == name && src.config {
			return src
		}
	}
	return nil
}

// parse makes a body of HCL text. Of a file that cannot be parsed the
// diagnostics are all there is: what the parser makes of the rest would only
// bring forth mistakes that are none. What may be sensitive in it the function
// broken says, since the diagnostics shall not show it even then.
func (s *sources) parse(src *source, broken func(text []byte) []redaction) (*hclsyntax.Body, bool) {
	if !s.checkText(src) {
		return nil, false
	}
	tokens, _ := hclsyntax.LexConfig(src.text, src.name, hcl.InitialPos)
	if at, problem := checkNesting(tokens); problem != "" {
		src.redactions = append(src.redactions, broken(src.text)...)
		s.report.errorAt(at, "Expression too complex", "%s", problem)
		return nil, false
	}
	file, diags := hclsyntax.ParseConfig(src.text, src.name, hcl.InitialPos)
	if !s.reportSyntax(diags) {
		src.redactions = append(src.redactions, broken(src.text)...)
		return nil, false
	}
	src.body = file.Body.(*hclsyntax.Body)
	meter(src.body)
	return src.body, true
}

// reportSyntax reports what the parser has found. An attribute that is written
// twice is no reason not to go on. Of the mistakes that are, the first is
// reported: a quote that is missing makes one of every line after it.
func (s *sources) reportSyntax(diags hcl.Diagnostics) bool {
	ok := true
	for _, diag := range sortDiagnostics(diags) {
		if diag.Summary == "Attribute redefined" {
			s.report.add(diag)
		} else if ok {
			s.report.add(diag)
			ok = false
		}
	}
	return ok
}

// checkText refuses what is no text before a parser makes many mistakes of one.
func (s *sources) checkText(src *source) bool {
	switch {
	case bytes.HasPrefix(src.text, []byte{0xEF, 0xBB, 0xBF}):
		s.report.errorAt(rangeOfByte(src, 0), "Byte order mark", "The file begins with a byte order mark. Save it as UTF-8 without one.")
		return false
	case bytes.HasPrefix(src.text, []byte{0xFF, 0xFE}), bytes.HasPrefix(src.text, []byte{0xFE, 0xFF}):
		src.notText = true
		s.report.errorAt(rangeOfByte(src, 0), "Not UTF-8", "The file is in UTF-16. Save it as UTF-8.")
		return false
	}
	for i := 0; i < len(src.text); {
		r, size := utf8.DecodeRune(src.text[i:])
		if r == utf8.RuneError && size == 1 {
			src.notText = true
			at := rangeOfByte(src, i)
			s.report.errorAt(at, "Not UTF-8", "Line %d holds a byte that is not UTF-8: 0x%02x, byte %d of the file. Save the file as UTF-8.", at.Start.Line, src.text[i], i+1)
			return false
		}
		i += size
	}
	return true
}

// rangeOfByte is the range of one byte of a source, its column counted in bytes.
func rangeOfByte(src *source, i int) hcl.Range {
	before := src.text[:i]
	start := hcl.Pos{Line: 1 + bytes.Count(before, []byte{'\n'}), Column: i - bytes.LastIndexByte(before, '\n'), Byte: i}
	end := hcl.Pos{Line: start.Line, Column: start.Column + 1, Byte: i + 1}
	return hcl.Range{Filename: src.name, Start: start, End: end}
}

// kept are the sources in a form that may be kept with a run.
func (s *sources) kept() []Source {
	redacted := s.redactAll()
	var kept []Source
	for _, src := range s.list {
		if src.virtual {
			continue
		}
		sum := sha256.Sum256(src.text)
		k := Source{Path: s.relative(src), SHA256: hex.EncodeToString(sum[:])}
		if !s.isSecret(src) {
			if src.config {
				k.Redacted = redacted[src.name].text
			} else {
				k.Redacted = src.text
			}
			if k.Redacted == nil {
				k.Redacted = []byte{}
			}
		}
		kept = append(kept, k)
	}
	return kept
}

// isSecret says whether only the hash of a source may be kept.
func (s *sources) isSecret(src *source) bool {
	if src.hashOnly || src.config {
		return src.hashOnly
	}
	text := string(src.text)
	for secret := range s.secrets {
		if strings.TrimSpace(text) == strings.TrimSpace(secret) || len(secret) >= minSearchedSecret && strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

// relative is the source's path from the job file's directory, or as given
// where it lies elsewhere.
func (s *sources) relative(src *source) string {
	rel, err := filepath.Rel(s.dir, src.path)
	if err != nil || !filepath.IsLocal(rel) {
		return src.name
	}
	return filepath.ToSlash(rel)
}

// absolute resolves a path that was given on the command line.
func (s *sources) absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

var (
	errIsDirectory = errors.New("it is a directory")
	errTooLarge    = errors.New("it is too large")
	errNoWriter    = errors.New("it is a pipe that nobody writes to")
)

// readLimited reads a file or a pipe of at most limit bytes. It waits for who writes
// to a pipe until ctx ends, and not at all for one whom nobody has opened to write.
func readLimited(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })() // only what can be waited for has deadlines
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errIsDirectory
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case int64(len(text)) > limit:
		return nil, errTooLarge
	case len(text) == 0 && info.Mode()&fs.ModeNamedPipe != 0:
		return nil, errNoWriter
	}
	return text, nil
}

// withoutPath is the reason of an error of a file operation, whose message has
// said already which file it is.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
