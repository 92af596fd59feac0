package spec

import (
	"bytes"
	"testing"
)

func TestReference(t *testing.T) {
	var got bytes.Buffer
	if err := WriteReference(&got, testCatalog); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/reference.md", got.Bytes())
}
