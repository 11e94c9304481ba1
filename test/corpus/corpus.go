// Package corpus runs configuration that other people wrote on a running mesh, and checks that it does what its authors say. The
// files are not part of this repository: its tests are skipped, with a word, where they are not there.
package corpus

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir is the folder of the files below the shared folder beside the repository, or below $WEFT_SHARED.
func Dir(t testing.TB, elem ...string) string {
	t.Helper()
	shared := os.Getenv("WEFT_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(append([]string{shared, "corpus"}, elem...)...)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the corpus is not beside this repository: %v", err)
	}
	return dir
}

// Read returns a file's text.
func Read(t testing.TB, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
