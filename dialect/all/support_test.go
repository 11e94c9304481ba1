package all_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/weft-mesh/weft/dialect/all"
)

var update = flag.Bool("update", false, "write docs/support.md")

// docs/support.md says what the readers say.
func TestSupport(t *testing.T) {
	const page = "../../docs/support.md"
	var want bytes.Buffer
	if err := all.WriteSupport(&want, all.Kinds("cluster.local")); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/support.md is behind: run go test ./dialect/all -update")
	}
}
