package saved

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"github.com/weft-mesh/weft/stream"
)

// TestThereAndBack: what was left is there, with the key; without a certificate there is none.
func TestThereAndBack(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &State{Resources: []stream.Resource{{Name: "a", Body: []byte("b")}, {Name: "c", Gone: true}}, Chain: [][]byte{{1}, {2}}, Key: key}
	got, err := Parse(l.Bytes())
	if err != nil || len(got.Resources) != 2 || !got.Resources[1].Gone || string(got.Resources[0].Body) != "b" || len(got.Chain) != 2 || !key.Equal(got.Key) {
		t.Errorf("%+v, %v", got, err)
	}
	l.Chain = nil
	if got, err := Parse(l.Bytes()); err != nil || got.Key != nil || len(got.Chain) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	l.Chain, l.Key = [][]byte{{1}}, nil // a key that cannot be written: better none than half
	if got, err := Parse(l.Bytes()); err != nil || len(got.Chain) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Parse([]byte("no state")); err == nil {
		t.Error("anything is taken")
	}
}

// TestWrite: the file is there whole, for its user alone, and nothing else is.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	for _, text := range []string{"first", "second"} {
		if err := Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(b, []byte(text)) {
			t.Errorf("%q, %v", b, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("%v", all)
	}
	if err := Write(filepath.Join(dir, "no", "config"), nil); err == nil {
		t.Error("a directory that is not there")
	}
}
