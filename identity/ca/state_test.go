package ca

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDirIsPrivate(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "state", "ca"))
	c := open(t, d, Config{}, noon)
	for path, want := range map[string]os.FileMode{string(d): 0o700, d.String(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %#o", path, info.Mode(), err, want)
		}
	}
	if err := c.Begin(nil, noon); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.String()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after a step: %v, %v", info.Mode(), err)
	}
	if again := open(t, d, Config{}, noon); again.Roots().Phase() != Begun || again.Bundle().Sequence != c.Bundle().Sequence {
		t.Errorf("opened again: %+v", again.Roots())
	}
	if left, _ := filepath.Glob(filepath.Join(string(d), "*.tmp")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestDirCreateNeverReplaces(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "ca"))
	if err := d.Create([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := d.Create([]byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a file: %v", err)
	}
	if b, err := d.Load(); string(b) != "first" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestDirCrashWhileWriting(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "ca"))
	c := open(t, d, Config{}, noon)
	if err := os.WriteFile(d.String()+".tmp", []byte(`{"format":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := open(t, d, Config{}, noon); again.Roots().Active.ID() != c.Roots().Active.ID() {
		t.Error("half a file was read")
	}
	if err := c.Begin(nil, noon); err != nil {
		t.Errorf("half a file is in the way: %v", err)
	}
}

func TestOpenNeverReplacesADamagedState(t *testing.T) {
	for _, x := range []struct {
		why    string
		damage func(t *testing.T, d Dir, saved string)
		says   string
	}{
		{"empty", rewrite(func(string) string { return "" }), "empty"},
		{"cut short", rewrite(func(s string) string { return s[:len(s)/2] }), "JSON"},
		{"not JSON", rewrite(func(string) string { return "hello" }), "JSON"},
		{"two objects", rewrite(func(s string) string { return s + s }), "follows"},
		{"newer", rewrite(func(s string) string { return strings.Replace(s, `"format": 1`, `"format": 2`, 1) }), "format is 2"},
		{"unknown field", rewrite(func(s string) string { return strings.Replace(s, `"format"`, `"formal": 1, "format"`, 1) }), "formal"},
		{"no root", rewrite(func(string) string { return `{"format":1,"trustDomain":"cluster.local","sequence":1}` }), "active"},
		{"no key", rewrite(func(s string) string { return strings.Replace(s, "BEGIN PRIVATE", "BEGIN", 1) }), "signing key"},
		{"no certificate", rewrite(func(s string) string { return strings.Replace(s, "BEGIN CERT", "BEGIN", 1) }), "no certificate"},
		{"readable by others", func(t *testing.T, d Dir, _ string) { chmod(t, d.String(), 0o644) }, "chmod go= "},
		{"directory open to others", func(t *testing.T, d Dir, _ string) { chmod(t, string(d), 0o755) }, "chmod go= "},
		{"a directory in its place", func(t *testing.T, d Dir, _ string) {
			if err := errors.Join(os.Remove(d.String()), os.Mkdir(d.String(), 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "directory"},
	} {
		t.Run(x.why, func(t *testing.T) {
			d := Dir(filepath.Join(t.TempDir(), "ca"))
			open(t, d, Config{}, noon)
			saved, err := os.ReadFile(d.String())
			if err != nil {
				t.Fatal(err)
			}
			x.damage(t, d, string(saved))
			before, _ := os.ReadFile(d.String())
			_, err = Open(d, Config{TrustDomain: "cluster.local"}, nil, noon)
			if err == nil || !strings.Contains(err.Error(), d.String()) && !strings.Contains(err.Error(), string(d)) || !strings.Contains(err.Error(), x.says) {
				t.Errorf("got %v, want an error that names %s and says %q", err, d, x.says)
			}
			if after, _ := os.ReadFile(d.String()); string(after) != string(before) {
				t.Error("the state was touched")
			}
		})
	}
}

func rewrite(f func(string) string) func(*testing.T, Dir, string) {
	return func(t *testing.T, d Dir, saved string) {
		if err := os.WriteFile(d.String(), []byte(f(saved)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestOpenUnderAnotherTrustDomain(t *testing.T) {
	state := &memory{}
	open(t, state, Config{}, noon)
	if _, err := Open(state, Config{TrustDomain: "other"}, nil, noon); err == nil || !strings.Contains(err.Error(), `"cluster.local"`) {
		t.Errorf("got %v", err)
	}
}

func TestDecodeRefusesWhatNoStepLeadsTo(t *testing.T) {
	a, b, c := root(t), root(t), root(t)
	for _, r := range []Roots{
		{TrustDomain: "cluster.local", Active: a},
		{TrustDomain: "cluster.local", Sequence: 1},
		{TrustDomain: "cluster.local", Sequence: 1, Active: a, Next: b, Retiring: c, Settled: noon},
		{TrustDomain: "cluster.local", Sequence: 1, Active: a, Retiring: b},
		{TrustDomain: "other", Sequence: 1, Active: a},
	} {
		data, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(data); err == nil {
			t.Errorf("%+v was read", r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r, err := NewRoots("cluster.local", root(f), noon).Begin(root(f), noon)
	if err != nil {
		f.Fatal(err)
	}
	data, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1,"trustDomain":"a","sequence":1,"active":{"chain":"","key":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if err != nil {
			return
		}
		if again, err := r.encode(); err != nil {
			t.Error(err)
		} else if _, err := decode(again); err != nil {
			t.Errorf("what was read can't be read again: %v", err)
		}
		_, _ = r.Switch(r.Sequence, true, time.Hour, noon)
	})
}
