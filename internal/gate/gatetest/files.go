package gatetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"profjob/internal/gate"
)

func testFiles(t *testing.T, b *bench) {
	stop := b.traffic(t, 1)
	session := b.arm(t, gate.ArmRequest{Prefix: "night.7", Window: gate.Window{Steps: 2}})
	w := b.settle(t, session).Workers[0]
	stop()
	if len(w.Files) != 1 {
		t.Fatalf("%+v", w)
	}
	f := w.Files[0]
	var whole bytes.Buffer
	if err := b.client.File(t.Context(), session, f, &whole); err != nil {
		t.Fatal(err)
	}
	if got := sha256.Sum256(whole.Bytes()); int64(whole.Len()) != f.Size || hex.EncodeToString(got[:]) != f.SHA256 {
		t.Errorf("%d bytes, %x; said %+v", whole.Len(), got, f)
	}
	b.ranges(t, session, f, whole.Bytes())
	b.strangers(t, session, f)

	if err := b.client.Delete(t.Context(), session, f.Name); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Delete(t.Context(), session, f.Name); !errors.Is(err, gate.ErrSession) {
		t.Errorf("a second deletion: %v", err)
	}
	if _, err := b.client.Range(t.Context(), session, f.Name, 0, 1); !errors.Is(err, gate.ErrSession) {
		t.Errorf("a file that is deleted: %v", err)
	}
	got, err := b.client.Status(t.Context(), session)
	if err != nil || got.State != gate.Done || len(got.Workers[0].Files) != 0 {
		t.Errorf("after the deletion: %+v, %v", got, err)
	}
}

// ranges asks for parts, as a header and as a parameter.
func (b *bench) ranges(t *testing.T, session string, f gate.File, whole []byte) {
	t.Helper()
	route := "file?" + url.Values{"session": {session}, "name": {f.Name}}.Encode()
	n := len(whole)
	for _, tc := range []struct {
		asked       string
		status      int
		first, last int
	}{
		{"", 200, 0, n - 1}, {"bytes=0-3", 206, 0, 3}, {"bytes=4-", 206, 4, n - 1}, {"bytes=-3", 206, n - 3, n - 1},
		{fmt.Sprintf("bytes=-%d", 2*n), 206, 0, n - 1}, {fmt.Sprintf("bytes=0-%d", 2*n), 206, 0, n - 1},
		{fmt.Sprintf("bytes=%d-%d", n-1, n-1), 206, n - 1, n - 1},
		{fmt.Sprintf("bytes=%d-", n), 416, 0, 0}, {"bytes=5-4", 416, 0, 0}, {"bytes=-", 416, 0, 0}, {"bytes=-0", 416, 0, 0},
		{"bytes=0-1,3-4", 416, 0, 0}, {"lines=0-1", 416, 0, 0}, {"bytes=a-b", 416, 0, 0},
	} {
		var headers []string
		if tc.asked != "" {
			headers = []string{"Range", tc.asked}
		}
		for how, got := range map[string]answer{
			"header":    b.send(t, "GET", route, "", "Bearer "+b.Secret, headers...),
			"parameter": b.send(t, "GET", route+"&range="+url.QueryEscape(tc.asked), "", "Bearer "+b.Secret),
		} {
			if got.status != tc.status {
				t.Errorf("%s %q: status %d, want %d: %.100s", how, tc.asked, got.status, tc.status, got.text)
				continue
			}
			if tc.status == http.StatusRequestedRangeNotSatisfiable {
				if got.code != "range" {
					t.Errorf("%s %q: %s", how, tc.asked, got.text)
				}
				continue
			}
			if got.text != string(whole[tc.first:tc.last+1]) {
				t.Errorf("%s %q: other bytes came, %d of them", how, tc.asked, len(got.text))
			}
			if want := fmt.Sprintf("bytes %d-%d/%d", tc.first, tc.last, n); tc.status == 206 && got.header.Get("Content-Range") != want {
				t.Errorf("%s %q: it says %q, want %q", how, tc.asked, got.header.Get("Content-Range"), want)
			}
			if got.header.Get("ETag") != `"`+f.SHA256+`"` {
				t.Errorf("%s %q: the tag is %s", how, tc.asked, got.header.Get("ETag"))
			}
		}
	}
}

// strangers asks for files that the session did not write.
func (b *bench) strangers(t *testing.T, session string, f gate.File) {
	t.Helper()
	for _, other := range []struct{ session, name string }{
		{session, ""}, {session, "../" + f.Name}, {session, "./" + f.Name}, {session, "/etc/passwd"}, {session, "other"}, {b.session(), f.Name},
	} {
		if _, err := b.client.Range(t.Context(), other.session, other.name, 0, 1); !errors.Is(err, gate.ErrSession) {
			t.Errorf("fetch %q of %s: %v", other.name, other.session, err)
		}
		if err := b.client.Delete(t.Context(), other.session, other.name); !errors.Is(err, gate.ErrSession) {
			t.Errorf("delete %q of %s: %v", other.name, other.session, err)
		}
	}
}
