package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// An image has what containerd's importer asks for, and the same files make the same bytes.
func TestImage(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := Image{Tags: []string{"a:1", "b:2"}, Entrypoint: []string{"/bin/a"}, Files: map[string]string{"/bin/a": program, "/b": program}}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := i.Write(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("twice the same image differs")
	}
	files := untar(t, &first)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	layer := files[manifest[0].Layers[0]]
	config := string(files[manifest[0].Config])
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(layer)); !strings.Contains(config, want) || !strings.Contains(config, `"Entrypoint":["/bin/a"]`) {
		t.Errorf("%s, whose layer is %s", config, want)
	}
	if fmt.Sprint(manifest[0].RepoTags) != "[a:1 b:2]" {
		t.Error(manifest)
	}
	in := untar(t, bytes.NewReader(layer))
	if string(in["bin/a"]) != "bytes" || string(in["b"]) != "bytes" || in["bin/"] == nil || in["tmp/"] == nil {
		t.Errorf("%q", in)
	}
}

func untar(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = append([]byte{}, b...)
	}
}

// What is built depends on a module's own files, and not on its tests, pages and the modules below it.
func TestHashFiles(t *testing.T) {
	tree := fstest.MapFS{
		"go.mod": {Data: []byte("module a")}, "a.go": {Data: []byte("package a")}, "a_test.go": {}, "README.md": {},
		"in/b.yaml": {}, "other/go.mod": {}, "other/b.go": {},
	}
	hash := func() string {
		h := sha256.New()
		if err := hashFiles(h, tree); err != nil {
			t.Fatal(err)
		}
		return string(h.Sum(nil))
	}
	before := hash()
	for name, changes := range map[string]bool{"go.mod": true, "a.go": true, "in/b.yaml": true, "a_test.go": false, "README.md": false, "other/b.go": false} {
		was := tree[name].Data
		tree[name].Data = append([]byte("x"), was...)
		if (hash() != before) != changes {
			t.Errorf("%s: another hash: %v", name, !changes)
		}
		tree[name].Data = was
	}
}

// What the keeper says is passed on until it is ready or says why not.
func TestHear(t *testing.T) {
	for says, want := range map[string]string{
		"node1 is Ready\nready\nmore\n":   "",
		"a\n" + SayFailed + "\"b\\nc\"\n": "b\nc",
		"a\n":                             "ended without a word",
	} {
		var told []string
		err := hear(strings.NewReader(says), func(s string) { told = append(told, s) })
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) || len(told) != 1 {
			t.Errorf("%q: %v, %q", says, err, told)
		}
	}
}

func TestCheckout(t *testing.T) {
	dir, err := Checkout()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "test", "cluster", "cluster_test.go")); err != nil {
		t.Error(err)
	}
	t.Chdir(t.TempDir())
	if dir, err := Checkout(); err == nil {
		t.Error(dir)
	}
}

// What keeps a cluster for long gets no file that whoever started this process has left open.
func TestCloseInherited(t *testing.T) {
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	inherited, err := syscall.Dup(int(lock.Fd())) // which is not closed when another program is started
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	for _, passed := range []bool{true, false} {
		if !passed {
			closeInherited()
		}
		out, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
		if err != nil || strings.Contains(string(out), lock.Name()) != passed {
			t.Errorf("it is passed on: %v\n%s %v", !passed, out, err)
		}
	}
}
