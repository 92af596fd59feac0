package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"
)

// NewRunID names a run by its time (UTC, to the second) and three random bytes.
func NewRunID(now time.Time, random [3]byte) string {
	return now.UTC().Format(runIDTime) + "-" + hex.EncodeToString(random[:])
}

const runIDTime = "20060102T150405Z"

var (
	runIDPattern = regexp.MustCompile(`^\d{8}T\d{6}Z-[0-9a-f]{6}$`)
	// jobDirPattern holds for all that JobDir gives.
	jobDirPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,100}$`)
	plainName     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,79}$`)
	unplain       = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
	hashEnding    = regexp.MustCompile(`-[0-9a-f]{8}$`)
	hostAndPort   = regexp.MustCompile(`^http://([A-Za-z0-9](?:[A-Za-z0-9.-]{0,78}[A-Za-z0-9])?):(\d{1,5})$`)
)

// JobDir names the directory of a job's runs: the job's address where that is a
// plain name, otherwise a slug. No two addresses share a directory.
func JobDir(address string) string {
	if plainName.MatchString(address) && !hashEnding.MatchString(address) {
		return address
	}
	return slug(address, address)
}

// EndpointSlug names the files and directories of an endpoint: host-port where
// it is http://host:port, otherwise a slug. No two endpoints share a name.
func EndpointSlug(endpoint string) string {
	if m := hostAndPort.FindStringSubmatch(endpoint); m != nil && !strings.Contains(m[1], "..") {
		return m[1] + "-" + m[2] // five digits at most: it never ends as a slug does
	}
	return slug(strings.TrimPrefix(endpoint, "http://"), endpoint)
}

// slug makes a file name of any text: what is readable of it, and a hash of the
// whole by which two texts with the same readable part differ.
func slug(readable, whole string) string {
	const most = 80
	readable = unplain.ReplaceAllString(readable, "-")
	readable = strings.Trim(readable[:min(len(readable), most)], "-")
	if readable == "" {
		readable = "x"
	}
	sum := sha256.Sum256([]byte(whole))
	return readable + "-" + hex.EncodeToString(sum[:4])
}
