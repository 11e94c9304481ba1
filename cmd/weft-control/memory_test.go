package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestMemoryOfThePod(t *testing.T) {
	for text, want := range map[string]int64{"max\n": 0, "536870912\n": 536870912, "": -1, "much\n": -1} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "memory.max"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := mostMemory(dir); err == nil != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if got, err := mostMemory(t.TempDir()); got != 0 || err != nil {
		t.Errorf("no such file: %d, %v", got, err)
	}
}

// Nine tenths are for the heap, unless somebody says what else.
func TestLimitMemory(t *testing.T) {
	t.Setenv("GOGC", "100")
	was := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(was)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "memory.max"), []byte("1000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		said string
		want int64
	}{{"", 900_000_000}, {"1GiB", was}} {
		debug.SetMemoryLimit(was)
		t.Setenv("GOMEMLIMIT", x.said)
		if err := limitMemory(dir); err != nil || debug.SetMemoryLimit(-1) != x.want {
			t.Errorf("%q: %d, %v", x.said, debug.SetMemoryLimit(-1), err)
		}
	}
}
