package gatetest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"profjob/internal/gate"
)

func testSecret(t *testing.T, b *bench) {
	wrong, err := gate.New(b.Endpoint, b.Secret+"x", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, hello := wrong.Hello(t.Context())
	_, arm := wrong.Arm(t.Context(), gate.ArmRequest{Session: b.session(), Window: gate.Window{Steps: 1}})
	_, status := wrong.Status(t.Context(), "x")
	_, renew := wrong.Renew(t.Context(), "x", 0)
	_, disarm := wrong.Disarm(t.Context(), "x")
	_, file := wrong.Range(t.Context(), "x", "y", 0, 1)
	remove := wrong.Delete(t.Context(), "x", "y")
	for op, err := range map[string]error{"hello": hello, "arm": arm, "status": status, "renew": renew, "disarm": disarm, "file": file, "delete": remove} {
		if !errors.Is(err, gate.ErrSecret) {
			t.Errorf("%s with a wrong secret: %v", op, err)
		}
	}
	for _, header := range []string{"", b.Secret, "Basic " + b.Secret, "Bearer", "Bearer " + b.Secret[1:]} {
		if got := b.send(t, "GET", "hello", "", header); got.status != http.StatusUnauthorized || got.code != "unauthorized" {
			t.Errorf("authorization %q: %+v", header, got)
		}
	}
	// Behind a gateway that wants Authorization for itself, a header of its own counts.
	if got := b.send(t, "GET", "hello", "", "Bearer of-a-gateway", gate.SecretHeader, b.Secret); got.status != http.StatusOK {
		t.Errorf("in a header of its own: %+v", got)
	}
	if got := b.send(t, "GET", "hello", "", "Bearer "+b.Secret, gate.SecretHeader, "of-a-gateway"); got.status != http.StatusUnauthorized {
		t.Errorf("a wrong one in a header of its own: %+v", got)
	}
	if got := b.send(t, "GET", "hello", "", "bearer  "+b.Secret); got.status != http.StatusOK {
		t.Errorf("the scheme in small letters: %+v", got)
	}
}

// testRefusals checks what a client can ask for and not get.
func testRefusals(t *testing.T, b *bench) {
	h, err := b.client.Hello(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one := gate.Window{Steps: 1}
	absent := []string{"gpu"}
	if !slices.Contains(h.Workers[0].Activities, "device") {
		absent = []string{"device"}
	}
	for _, tc := range []struct {
		field   string
		request gate.ArmRequest
	}{
		{"session", gate.ArmRequest{Session: "../x", Window: one}},
		{"session", gate.ArmRequest{Window: one}},
		{"session", gate.ArmRequest{Session: strings.Repeat("x", 65), Window: one}},
		{"prefix", gate.ArmRequest{Prefix: "a/b", Window: one}},
		{"window.steps", gate.ArmRequest{}},
		{"window.steps", gate.ArmRequest{Window: gate.Window{Steps: -1}}},
		{"window.steps", gate.ArmRequest{Window: gate.Window{Steps: 10001}}},
		{"window.steps", gate.ArmRequest{Window: gate.Window{Steps: 1, Duration: time.Second}}},
		{"window.steps", gate.ArmRequest{Window: gate.Window{Steps: 11}, Limits: gate.Limits{Steps: 10}}},
		{"window.duration_s", gate.ArmRequest{Window: gate.Window{Duration: 2 * time.Hour}}},
		{"window.duration_s", gate.ArmRequest{Window: gate.Window{Duration: 11 * time.Second}, Limits: gate.Limits{Duration: 10 * time.Second}}},
		{"window.threshold", gate.ArmRequest{Window: gate.Window{Steps: 1, Threshold: -1}}},
		{"window.threshold", gate.ArmRequest{Window: gate.Window{Steps: 1, Threshold: h.Workers[0].MaxNumBatchedTokens + 1}}},
		{"window.at_most", gate.ArmRequest{Window: gate.Window{Steps: 1, Threshold: 5, AtMost: 4}}},
		{"window.phase", gate.ArmRequest{Window: gate.Window{Steps: 1, Phase: "idle"}}},
		{"window.skip_requests", gate.ArmRequest{Window: gate.Window{Steps: 1, SkipRequests: -1}}},
		{"window.delay", gate.ArmRequest{Window: gate.Window{Steps: 1, Delay: -1}}},
		{"lease_s", gate.ArmRequest{Window: one, Lease: time.Millisecond}},
		{"lease_s", gate.ArmRequest{Window: one, Lease: 2 * time.Hour}},
		{"limits.max_steps", gate.ArmRequest{Window: one, Limits: gate.Limits{Steps: 10001}}},
		{"limits.max_seconds", gate.ArmRequest{Window: one, Limits: gate.Limits{Duration: 2 * time.Hour}}},
		{"limits.max_bytes", gate.ArmRequest{Window: one, Limits: gate.Limits{Bytes: -1}}},
		{"activities", gate.ArmRequest{Window: one, Activities: []string{"gpu"}}},
		{"activities", gate.ArmRequest{Window: one, Activities: absent}},
	} {
		if tc.field != "session" {
			tc.request.Session = b.session()
		}
		_, err := b.client.Arm(t.Context(), tc.request)
		var e *gate.Error
		if !errors.Is(err, gate.ErrRequest) || !errors.As(err, &e) || e.Field != tc.field || e.Status != http.StatusBadRequest || !gate.NothingArmed(err) {
			t.Errorf("%s: %v", tc.field, err)
		}
	}
}

// testRawRefusals checks what no client of ours would send.
func testRawRefusals(t *testing.T, b *bench) {
	const good = `"protocol":1,"session":"x","window":{"steps":1}`
	for _, tc := range []struct {
		method, route, body string
		status              int
		code, field         string
	}{
		{"POST", "arm", "not JSON", 400, "bad_request", "body"},
		{"POST", "arm", "[]", 400, "bad_request", "body"},
		{"POST", "arm", "", 400, "bad_request", "protocol"},
		{"POST", "arm", "null", 400, "bad_request", "protocol"},
		{"POST", "arm", `{"protocol":2,"session":"x","window":{"steps":1}}`, 400, "bad_request", "protocol"},
		{"POST", "arm", `{"protocol":true,"session":"x","window":{"steps":1}}`, 400, "bad_request", "protocol"},
		{"POST", "arm", `{"protocol":1,"window":{"steps":1}}`, 400, "bad_request", "session"},
		{"POST", "arm", `{"protocol":1,"session":"x","window":[]}`, 400, "bad_request", "window"},
		{"POST", "arm", `{"protocol":1,"session":"x","window":{"steps":1.0}}`, 400, "bad_request", "window.steps"},
		{"POST", "arm", `{"protocol":1,"session":"x","window":{"steps":"1"}}`, 400, "bad_request", "window.steps"},
		{"POST", "arm", `{"protocol":1,"session":"x","window":{"steps":1,"all":1}}`, 400, "bad_request", "window.all"},
		{"POST", "arm", `{"protocol":1,"session":"x","window":{"steps":1,"threshold":0}}`, 400, "bad_request", "window.threshold"},
		{"POST", "arm", `{"protocol":1,"session":"x","window":{"steps":1,"step":1}}`, 400, "bad_request", "window.step"},
		{"POST", "arm", "{" + good + `,"record":{"shapes":1}}`, 400, "bad_request", "record.shapes"},
		{"POST", "arm", "{" + good + `,"record":{"shape":true}}`, 400, "bad_request", "record.shape"},
		{"POST", "arm", "{" + good + `,"activities":[]}`, 400, "bad_request", "activities"},
		{"POST", "arm", "{" + good + `,"more":1}`, 400, "bad_request", "more"},
		{"POST", "arm", "{" + good + `,"prefix":"` + strings.Repeat("x", 70000) + `"}`, 413, "too_large", ""},
		{"POST", "renew", `{"session":"x","lease_s":0}`, 400, "bad_request", "lease_s"},
		{"POST", "renew", `{"lease_s":5}`, 400, "bad_request", "session"},
		{"POST", "disarm", `{}`, 400, "bad_request", "session"},
		{"POST", "disarm", `{"session":"x","more":1}`, 400, "bad_request", "more"},
		{"GET", "status", "", 400, "bad_request", "session"},
		{"GET", "status?session=a%2Fb", "", 400, "bad_request", "session"},
		{"GET", "file?name=x", "", 400, "bad_request", "session"},
		{"GET", "arm", "", 405, "", ""},
		{"POST", "hello", "", 405, "", ""},
		{"GET", "nothing", "", 404, "", ""},
	} {
		got := b.send(t, tc.method, tc.route, tc.body, "Bearer "+b.Secret)
		if got.status != tc.status || got.code != tc.code || got.field != tc.field {
			t.Errorf("%s %s %.80s: %d %s of %q, want %d %s of %q: %s", tc.method, tc.route, tc.body, got.status, got.code, got.field, tc.status, tc.code, tc.field, got.text)
		}
	}
}

// answer is one of the gate's, read by hand.
type answer struct {
	status      int
	header      http.Header
	code, field string // of a refusal
	text        string
}

// send asks past the client.
func (b *bench) send(t *testing.T, method, route, body, authorization string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.Endpoint+"/profjob/gate/"+route, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true // no connection is left to the test that looks for goroutines
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var refusal struct {
		Error struct{ Code, Field string }
	}
	if resp.StatusCode >= 300 {
		_ = json.Unmarshal(text, &refusal) // a server's own refusals are none of the gate's
	}
	return answer{resp.StatusCode, resp.Header, refusal.Error.Code, refusal.Error.Field, string(text)}
}
