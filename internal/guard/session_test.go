package guard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A page's commands run in its directory, with its files, at ports of their own, and what prints something else is seen.
func TestSession(t *testing.T) {
	s, ctx := newSession(t.TempDir(), t.TempDir()), t.Context()
	if err := s.write("mesh/a.yaml", "kind: A\n"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Command{
		{1, "cat mesh/a.yaml", "kind: A\n"},
		{2, "echo at 127.0.0.1:8080; test 127.0.0.1:8080 = 127.0.0.1:80''80 || echo another", "at 127.0.0.1:8080\nanother\n"},
		{3, "echo wrong >&2; false", "wrong\n"},
		{4, "echo $((++x)) >> n; wc -l < n", "3\n"}, // in the end
	} {
		if err := s.do(ctx, c); err != nil {
			t.Error(err)
		}
	}
	if err := s.write("../a", ""); err == nil {
		t.Error("a page may write anywhere")
	}
}

func TestSessionBackground(t *testing.T) {
	s, ctx := newSession(t.TempDir(), t.TempDir()), t.Context()
	if err := s.start(ctx, Command{1, "trap 'echo over > end; exit' INT; echo begun; while :; do sleep 0.05; done", "begun\n"}); err != nil {
		t.Fatal(err)
	}
	if err := s.start(ctx, Command{2, "echo other", "begun\n"}); err == nil || !strings.Contains(err.Error(), "line 2: $ echo other\nprints:\nother\n") {
		t.Error(err)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, "end")); err != nil || string(b) != "over\n" {
		t.Errorf("%q %v", b, err)
	}
}
