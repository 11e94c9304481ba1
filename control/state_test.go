package control

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestStateIsPrivate(t *testing.T) {
	d := dir(filepath.Join(t.TempDir(), "a", "state"))
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	if err := d.save("x.json", []string{"secret"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{string(d): 0o700, d.path("x.json"): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %o", path, st.Mode(), err, want)
		}
	}
	if err := os.Chmod(string(d), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := d.prepare(); err == nil || !strings.Contains(err.Error(), "chmod 700 "+string(d)) {
		t.Errorf("%v, want an error that says what to do", err)
	}
}

func TestStateFileIsReplacedAsAWhole(t *testing.T) {
	d := dir(t.TempDir())
	long, short := []string{strings.Repeat("x", 1<<16)}, []string{"y"}
	if err := d.save("x.json", long); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := range 50 {
			if err := d.save("x.json", [][]string{short, long}[n%2]); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 { // whoever reads meanwhile sees one or the other
		var got []string
		if err := d.load("x.json", &got); err != nil || len(got) != 1 || got[0] != long[0] && got[0] != short[0] {
			t.Fatalf("%d strings, %v", len(got), err)
		}
	}
	writing.Wait()
	if left, _ := filepath.Glob(d.path("*")); len(left) != 1 {
		t.Errorf("files are left over: %v", left)
	}
}

func TestStateThatCannotBeRead(t *testing.T) {
	d := dir(t.TempDir())
	v := map[string]int{"kept": 1}
	if err := d.load("none.json", &v); err != nil || v["kept"] != 1 {
		t.Errorf("%v, %v: no file is no error, and changes nothing", v, err)
	}
	if err := d.save("x.json", func() {}); err == nil {
		t.Error("what can't be written is no error")
	}
	if err := os.WriteFile(d.path("x.json"), []byte(`{"kept": `), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.load("x.json", &v); err == nil || !strings.Contains(err.Error(), d.path("x.json")) || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("%v, want an error that names the file and what to do", err)
	}
}

// A state that can't be read is never replaced by a new one: that would give other addresses, or another root, to a mesh that runs.
func TestControlWithCorruptState(t *testing.T) {
	for _, name := range []string{"addresses.json", "workloads.json", "objects.json", filepath.Join("ca", "authority.json")} {
		t.Run(name, func(t *testing.T) {
			o := options(t, state(t), newFeed(synced(parse(t, twoServices))))
			p := run(t, o)
			p.register("reviews", "v1")
			p.stop()
			at := filepath.Join(o.State, name)
			if _, err := os.Stat(at); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte("{broken"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := New(o)
			if err == nil || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), "move") {
				t.Errorf("%v, want an error that names %s and what to do", err, at)
			}
			if b, _ := os.ReadFile(at); string(b) != "{broken" {
				t.Errorf("the file was touched: %s", b)
			}
		})
	}
}
