package archive

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestNewRunID(t *testing.T) {
	at := time.Date(2026, 11, 24, 1, 2, 3, 999, time.FixedZone("CET", 3600))
	if got, want := NewRunID(at, [3]byte{0x1f, 0, 0x9a}), "20261124T000203Z-1f009a"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestJobDir(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"decode", "decode"},
		{"decode-64_b", "decode-64_b"},
		{`decode["b64"]`, "decode-b64-"},
		{`decode["a/../../b"]`, "decode-a-b-"},
		{`größe["日本"]`, "gr-e-"},
		{"日本", "x-"},
		{"", "x-"},
		{"..", "x-"},
		{".hidden", "hidden-"},
		{"-flag", "flag-"},
		{"/", "x-"},
		{"decode-deadbeef", "decode-deadbeef-"},
		{strings.Repeat("a", 300), strings.Repeat("a", 80) + "-"},
		{strings.Repeat("a", 79) + "/b", strings.Repeat("a", 79) + "-"},
	} {
		got := JobDir(c.address)
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%q is kept in %q, want %q…", c.address, got, c.want)
		}
		if hashed := strings.HasSuffix(c.want, "-"); hashed != (got != c.want) || hashed && !hashEnding.MatchString(got) {
			t.Errorf("%q is kept in %q, want %q and then a hash only if need be", c.address, got, c.want)
		}
	}
}

func TestEndpointSlug(t *testing.T) {
	for _, c := range []struct{ endpoint, want string }{
		{"http://127.0.0.1:8000", "127.0.0.1-8000"},
		{"http://gpu-7.cluster.local:80", "gpu-7.cluster.local-80"},
		{"https://127.0.0.1:8000", "https-127-0-0-1-8000-"},
		{"http://gpu-7", "gpu-7-"},
		{"http://[fe80::1%25eth0]:8000", "fe80-1-25eth0-8000-"},
		{"http://host:8000/", "host-8000-"},
		{"http://host:8000/v1", "host-8000-v1-"},
		{"http://user@host:8000", "user-host-8000-"},
		{"http://..:8000", "8000-"},
		{"http://a..b:8000", "a-b-8000-"},
		{"http://-a:8000", "a-8000-"},
		{"http://a.:8000", "a-8000-"},
		{"http://host:800000", "host-800000-"},
		{"unix:///run/x.sock", "unix-run-x-sock-"},
		{"", "x-"},
		{"..", "x-"},
	} {
		got := EndpointSlug(c.endpoint)
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%q is kept in %q, want %q…", c.endpoint, got, c.want)
		}
		if hashed := strings.HasSuffix(c.want, "-"); hashed != (got != c.want) || hashed && !hashEnding.MatchString(got) {
			t.Errorf("%q is kept in %q, want %q and then a hash only if need be", c.endpoint, got, c.want)
		}
	}
}

// checkName holds for all names: they stay where they are put.
func checkName(t *testing.T, from, name string) {
	t.Helper()
	if name == "" || len(name) > 101 || strings.ContainsAny(name, "/\\\x00") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.Contains(name, "..") {
		t.Errorf("%q is kept as %q, which is no safe name", from, name)
	}
}

// No two of many addresses that look alike share a name.
func TestNamesAreUnique(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	jobs, endpoints := map[string]string{}, map[string]string{}
	add := func(seen map[string]string, from, name string) {
		checkName(t, from, name)
		if other, ok := seen[name]; ok && other != from {
			t.Errorf("%q and %q are both kept as %q", other, from, name)
		}
		seen[name] = from
	}
	const letters = `ab19-_./:[]"é %@`
	for range 20_000 {
		var b strings.Builder
		for range random.IntN(7) {
			r := []rune(letters)
			b.WriteRune(r[random.IntN(len(r))])
		}
		text := b.String()
		for _, address := range []string{text, fmt.Sprintf("j[%q]", text), JobDir(text)} {
			add(jobs, address, JobDir(address))
		}
		for _, endpoint := range []string{text, "http://" + text, "https://" + text, "http://" + text + ":80", "http://" + EndpointSlug(text) + ":80"} {
			add(endpoints, endpoint, EndpointSlug(endpoint))
		}
	}
	if len(jobs) < 20_000 || len(endpoints) < 20_000 {
		t.Errorf("only %d jobs and %d endpoints were tried", len(jobs), len(endpoints))
	}
}

// FuzzNames looks for two addresses that share a name, and for names that are not safe.
func FuzzNames(f *testing.F) {
	f.Add(`decode["b64"]`, "decode-b64-1f3c9a00")
	f.Add("http://a-8000", "http://a:8000")
	f.Add("http://[::1]:8000", "http://--1-:8000")
	f.Add("..", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []func(string) string{JobDir, EndpointSlug} {
			checkName(t, a, name(a))
			if a != b && name(a) == name(b) {
				t.Errorf("%q and %q are both kept as %q", a, b, name(a))
			}
			if taken := name(a); taken != a && name(taken) == taken {
				t.Errorf("%q and %q are both kept as %q", a, taken, taken)
			}
		}
		if dir := JobDir(a); !jobDirPattern.MatchString(dir) {
			t.Errorf("%q is kept in %q, where no list looks", a, dir)
		}
	})
}
