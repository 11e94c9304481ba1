package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/node/sandbox"
)

// What a sandbox protects or hides stays where it is: an application can't put something else in its place by moving a directory
// above it, by whatever name.
func TestProtectedPathsStayInPlace(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(base, name) }
	for _, dir := range []string{"project/mesh/rules", "project/state", "project/other", "other"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err = errors.Join(os.WriteFile(at("project/mesh/rules/deny.yaml"), []byte("deny"), 0o644),
		os.WriteFile(at("project/state/key"), []byte("secret"), 0o644), os.Symlink("project", at("link")))
	if err != nil {
		t.Fatal(err)
	}
	spec := sandbox.Spec{Hide: []string{at("link/state")}, ReadOnly: []string{at("link/mesh/rules")}}
	const busy = "device or resource busy"
	below, unbound := busy, "invalid argument"
	if os.Getuid() == 0 { // a user namespace whose root is the machine's takes a capability (user_namespaces(7))
		below, unbound = "operation not permitted", "operation not permitted"
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"rename", at("project/mesh/rules"), at("project/mesh/moved")}, busy},
		{[]string{"rename", at("project/mesh"), at("project/moved")}, busy},
		{[]string{"rename", at("link/mesh"), at("link/moved")}, busy},
		{[]string{"rename", at("project"), at("moved")}, busy},
		{[]string{"rename", base, base + "-moved"}, busy},
		{[]string{"rename", at("project/state"), at("project/moved")}, busy},
		{[]string{"rename", at("project/mesh"), at("moved")}, "cross-device"}, // out of one mount into another
		{[]string{"exchange", at("other"), at("project")}, busy},
		{[]string{"exchange", at("project/mesh"), at("project/other")}, busy},
		{[]string{"remove", at("project/mesh")}, busy},
		{[]string{"below", "rename", at("project"), at("moved")}, below},
		{[]string{"below", "umount", at("project")}, unbound},
		{[]string{"below", "unbind", base, at("other"), "project"}, unbound},
		{[]string{"read", at("project/mesh/rules/deny.yaml")}, "deny"},
		{[]string{"write", at("project/mesh/rules/deny.yaml")}, "read-only file system"},
		{[]string{"read", at("project/state/key")}, "no such file"},
	} {
		t.Run(strings.ReplaceAll(strings.Join(c.args, " "), base, "BASE"), func(t *testing.T) {
			b, _ := create(t, spec)
			if got := run(t, b, c.args...); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got, err := os.ReadFile(at("project/mesh/rules/deny.yaml")); string(got) != "deny" {
				t.Fatalf("outside: %q, %v", got, err)
			}
		})
	}
	t.Run("each directory is pinned once", func(t *testing.T) {
		b, _ := create(t, spec)
		seen := map[string]int{}
		for _, mount := range strings.Split(run(t, b, "read", "/proc/self/mountinfo"), "\n") {
			if fields := strings.Fields(mount); len(fields) > 4 && strings.HasPrefix(fields[4], base) { // proc_pid_mountinfo(5)
				seen[fields[4]]++
			}
		}
		for _, dir := range []string{base, at("project"), at("project/mesh")} {
			if seen[dir] != 1 {
				t.Errorf("%s is a mount point %d times", dir, seen[dir])
			}
		}
	})
	t.Run("all else is as outside", func(t *testing.T) {
		b, _ := create(t, spec)
		out := startCommand(t, b, sandbox.Command{Dir: at("project/mesh"), Args: []string{"sh", "-c",
			"mkdir data && echo hello > data/file && mv data data2 && pwd && cat data2/file"}})
		for _, want := range []string{at("project/mesh"), "hello"} {
			if got := line(t, out); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if got, err := os.ReadFile(at("project/mesh/data2/file")); string(got) != "hello\n" {
			t.Errorf("outside: %q, %v", got, err)
		}
	})
	t.Run("who is outside may move them", func(t *testing.T) {
		b, _ := create(t, spec)
		if err := os.Rename(at("project"), at("moved")); err != nil {
			t.Fatal(err)
		}
		defer os.Rename(at("moved"), at("project"))
		if got, want := run(t, b, "write", at("moved/mesh/rules/deny.yaml")), "read-only file system"; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
