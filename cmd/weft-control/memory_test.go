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

// Once the cluster is read there is to be less garbage, unless somebody says how much.
func TestAllowGarbage(t *testing.T) {
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	for said, want := range map[string]int{"": 20, "100": 100} {
		debug.SetGCPercent(100)
		t.Setenv("GOGC", said)
		allowGarbage(20)
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("%q: %d", said, got)
		}
	}
}

func TestSteadyGarbage(t *testing.T) {
	for used, want := range map[uint64]int{0: 100, 5 << 20: 100, 80 << 20: 50, 200 << 20: 20, 1 << 30: 15} {
		if got := steadyGarbage(used); got != want {
			t.Errorf("%d bytes: %d", used, got)
		}
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
