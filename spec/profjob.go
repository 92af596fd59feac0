package spec

import (
	"github.com/hashicorp/go-version"
)

// checkRequiredVersion compares profjob.required_version with the running
// version. Where it does not fit, that is all there is to say: the rest of the
// file may be written in a language that this version does not speak.
func (l *loader) checkRequiredVersion(file *body) (required string, ok bool) {
	b := l.static().open(file.block("profjob"), profjobSchema)
	required = b.str("required_version")
	if required == "" {
		return "", true
	}
	at := b.given["required_version"].at
	constraints, err := version.NewConstraint(required)
	if err != nil {
		l.report.errorAt(at, "Invalid version constraint", "required_version must be a version constraint such as \">= 0.1.0\", but %q is not one.", required)
		return "", true
	}
	running, err := version.NewVersion(l.inputs.Version)
	if err != nil {
		return required, true // a build that has no version
	}
	// A pre-release of a version is taken for that version: a constraint such as
	// ">= 0.2.0" is about the language, which 0.2.0-rc1 speaks.
	if constraints.Check(running.Core()) {
		return required, true
	}
	l.report.drop()
	l.report.errorAt(at, "Unsupported version of profjob", "This file needs profjob %s, but this is profjob %s. The rest of the file was not checked.", required, l.inputs.Version)
	return "", false
}

var profjobSchema = &Block{
	Name: "profjob",
	Doc:  "What the file needs of profjob itself.",
	Arguments: []Argument{
		{Name: "required_version", Type: TypeString, Doc: "Versions of profjob that may run the file, as a constraint: `\">= 0.1.0, < 2.0.0\"`."},
	},
}
