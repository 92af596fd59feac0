package spec

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAccess(t *testing.T) {
	file := load(t, `
variable "key" {
  sensitive = true
  default   = "hunter2-key"
}
target "embedded" "e" {
  endpoints = ["https://h:1"]
  auth {
    bearer  = "open"
    api_key = var.key
  }
  tls {
    ca          = "pki/ca.pem"
    cert        = "/etc/client.pem"
    key         = "client.key"
    server_name = "engine"
  }
}
target "embedded" "other" {
  auth {
    api_key = "k"
    header  = "Ocp-Apim-Subscription-Key"
  }
}
target "embedded" "plain" {
  auth {
    bearer = "b"
  }
}
job "j" {
  targets = [target.embedded.e, target.embedded.other, target.embedded.plain]
  window {
    tokens {}
  }
  archive {
    mode = "640"
  }
}
`, Inputs{})
	job := file.Jobs[0]
	ref := "target.embedded.e.auth.api_key"
	want := []Auth{
		{Bearer: Secret{Value: "open"}, APIKey: Secret{Ref: ref}, Header: "X-API-Key"},
		{APIKey: Secret{Value: "k"}, Header: "Ocp-Apim-Subscription-Key"},
		{Bearer: Secret{Value: "b"}},
	}
	for i, target := range job.Targets {
		if diff := cmp.Diff(want[i], target.Auth); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target.Name, diff)
		}
	}
	if diff := cmp.Diff(&TLS{CA: "pki/ca.pem", Cert: "/etc/client.pem", Key: "client.key", ServerName: "engine"}, job.Targets[0].TLS); diff != "" {
		t.Error(diff)
	}
	if job.Targets[1].TLS != nil || job.Secrets[ref] != "hunter2-key" || job.Archive.Mode != 0o640 {
		t.Errorf("TLS %v, secrets %v, mode %o", job.Targets[1].TLS, job.Secrets, job.Archive.Mode)
	}
}

func TestMode(t *testing.T) {
	for mode, want := range map[string]string{
		`"0600"`: "", `"660"`: "", `"0644"`: "", `640`: "",
		`"rw-r-----"`: "octal digits", `"00640"`: "octal digits", `"0640 "`: "octal digits", `"0o640"`: "octal digits", `"1640"`: "octal digits",
		`"0440"`: "the owner read and write", `"0200"`: "the owner read and write", `"0755"`: "nobody executes", `"0666"`: "everybody write",
		`""`: "must not be empty",
	} {
		_, diags := LoadBytes(context.Background(), "job.hcl", []byte(`
target "embedded" "e" {}
job "j" {
  targets = [target.embedded.e]
  window {
    tokens {}
  }
  archive {
    mode = `+mode+`
  }
}
`), testCatalog, Inputs{})
		if (want == "") != !diags.HasErrors() || want != "" && !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: %v, want %q", mode, diags, want)
		}
	}
}
