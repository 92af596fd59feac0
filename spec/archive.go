package spec

import (
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// Archive is where runs are kept.
type Archive struct {
	Path   string // directory, absolute or relative to Job.Dir; empty: "./runs" of the working directory
	Format string // "dir" (default) or "tar.zst"
	Keep   Keep
	Mode   fs.FileMode // of a run's files, default 0600; its directories may be entered by those who may read
}

// Keep is how many runs of a job are kept; zero values keep all.
type Keep struct{ Last, Daily int }

var archiveSchema = &Block{
	Name: "archive",
	Doc:  "Where runs are kept.",
	Arguments: []Argument{
		{Name: "path", Type: TypePath, Doc: "A directory; without it ./runs of the working directory."},
		{Name: "format", Type: TypeString, Default: "dir", OneOf: []string{"dir", "tar.zst"}, Doc: "`dir`: a directory a run; `tar.zst`: a compressed archive a run."},
		{Name: "mode", Type: TypeString, Default: "0600", Doc: "The mode of a sealed run's files, such as `\"0640\"`; directories can be entered by those who may read. Until it is sealed a run is its owner's alone."},
	},
	Blocks: []*Block{{
		Name: "keep",
		Doc:  "How many runs of a job are kept: a run that any of these wants stays. Runs that did not end well are counted apart, so that they push out no good one. Without the block, all.",
		Arguments: []Argument{
			{Name: "last", Type: TypeInteger, Min: 1, Max: 1e6, Doc: "The newest runs."},
			{Name: "daily", Type: TypeInteger, Min: 1, Max: 1e6, Doc: "The last run of each of so many days."},
		},
	}},
}

// storeURL is an archive that is no directory.
var storeURL = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+://`)

func decodeArchive(job *body) Archive {
	b := job.child("archive")
	keep := b.child("keep")
	a := Archive{
		Path:   b.str("path"),
		Format: b.str("format"),
		Mode:   b.mode("mode"),
		Keep:   Keep{Last: keep.integer("last"), Daily: keep.integer("daily")},
	}
	if scheme := storeURL.FindString(a.Path); scheme != "" {
		b.refuseStore(scheme)
	}
	if b.block("keep") != nil && !keep.has("last") && !keep.has("daily") {
		keep.report.errorAt(keep.header, "Nothing chosen", "A keep block needs at least one of last, daily.")
	}
	return a
}

func (b *body) refuseStore(scheme string) {
	g := b.given["path"]
	switch strings.ToLower(scheme) {
	case "s3://", "gs://", "azblob://":
		b.fail(g, "", "Not supported by this version", "Archives at %s are part of the language, but this version of profjob keeps runs in directories only.", scheme)
	default:
		b.fail(g, "", "Invalid path", "An archive is a directory, not %s….", scheme)
	}
}

// fileMode is a mode as chmod takes it.
var fileMode = regexp.MustCompile(`^0?[0-7]{3}$`)

// mode is what the files of a run may have: their owner reads and writes, nobody
// executes them, and not everybody may write.
func (b *body) mode(name string) fs.FileMode {
	text := b.str(name)
	if text == "" {
		return 0 // it has been reported
	}
	g := b.given[name]
	n, err := strconv.ParseUint(text, 8, 16)
	switch mode := fs.FileMode(n); {
	case err != nil || !fileMode.MatchString(text):
		b.fail(g, "", "Invalid mode", "%s must be a mode in octal digits as a string, such as \"0640\", not %q.", name, text)
	case mode&0o600 != 0o600:
		b.fail(g, "", "Invalid mode", "%s must let the owner read and write: begin it with 06.", name)
	case mode&0o111 != 0:
		b.fail(g, "", "Invalid mode", "%s is that of files, which nobody executes: use even digits. Directories can be entered by those who may read.", name)
	case mode&0o002 != 0:
		b.fail(g, "", "Invalid mode", "%s must not let everybody write, since what is kept would prove nothing.", name)
	default:
		return mode
	}
	return 0
}
