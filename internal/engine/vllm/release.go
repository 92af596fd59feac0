package vllm

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// release is the number of a release of vLLM: major, minor, patch.
type release [3]int

// String gives the number as vLLM writes it.
func (r release) String() string { return fmt.Sprintf("%d.%d.%d", r[0], r[1], r[2]) }

func (r release) compare(other release) int {
	return cmp.Or(cmp.Compare(r[0], other[0]), cmp.Compare(r[1], other[1]), cmp.Compare(r[2], other[2]))
}

func (r release) before(other release) bool { return r.compare(other) < 0 }

// maxVersion bounds a version, in bytes.
const maxVersion = 128

// versionForm is what PEP 440 and setuptools_scm make of vLLM's versions, e.g.
// 0.10.1.1, 0.11.0+cpu, 0.9.2.rc1.dev5+gabc, 0.19.2rc1, 0.1.dev1+g123. The first
// group is the number, the second what marks a build between two releases.
var versionForm = regexp.MustCompile(`^v?(\d{1,6}(?:\.\d{1,6}){0,3})((?:[._-]?(?:a|b|rc|alpha|beta|pre|dev)\.?\d*)*)(?:[._-]?post\.?\d*)?(?:\.dev\d+)?(?:\+[A-Za-z0-9._-]*)?$`)

// parseVersion takes the release out of a version. Unreleased is true for a
// build from a commit between two releases, whose release number says little:
// that of a checkout without tags is always 0.1.
func parseVersion(version string) (r release, unreleased bool, err error) {
	if len(version) > maxVersion {
		return r, false, fmt.Errorf("a vLLM version of %d bytes (the limit is %d)", len(version), maxVersion)
	}
	m := versionForm.FindStringSubmatch(strings.TrimSpace(version))
	if m == nil {
		return r, false, fmt.Errorf("%q is not a vLLM version", version)
	}
	for i, part := range strings.Split(m[1], ".") {
		if i < len(r) {
			r[i], _ = strconv.Atoi(part) // the form allows six digits
		}
	}
	return r, strings.Contains(m[2], "dev"), nil
}

// Release takes major, minor and patch out of a version of vLLM, or of a fork
// that keeps its numbers. Unreleased is true for a build from a commit between
// two releases, whose number says little: that of a checkout without tags is 0.1.
func Release(version string) (number [3]int, unreleased bool, err error) {
	return parseVersion(version)
}
