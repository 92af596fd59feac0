package analysis

import (
	"encoding/json"
	"os"
	"testing"
)

func TestNPUTry(t *testing.T) {
	for _, d := range []string{"queue_ascend_pt", "steps_ascend_pt"} {
		r, err := Read(t.Context(), Input{Path: "../ascend/testdata/" + d})
		if err != nil {
			t.Fatal(err)
		}
		out, _ := json.MarshalIndent(r, "", " ")
		os.WriteFile("/tmp/w/me/"+d+".json", out, 0o644)
	}
}
