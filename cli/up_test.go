package cli

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

func TestAllow(t *testing.T) {
	own := control.Rule{UID: os.Geteuid(), Namespace: "*", Account: "*"}
	got, err := parseAllow([]string{"1001:shop/*", "1002:default/batch", "1003:*/*"})
	if err != nil || !slices.Equal(got, []control.Rule{own, {UID: 1001, Namespace: "shop", Account: "*"}, {UID: 1002, Namespace: "default", Account: "batch"},
		{UID: 1003, Namespace: "*", Account: "*"}}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "1001", "1001:", "1001:shop", "1001:shop/", "1001:/x", "alice:shop/*", ":shop/*", "1001/shop:x"} {
		if got, err := parseAllow([]string{bad}); err == nil || !strings.Contains(err.Error(), "1001:shop/*") {
			t.Errorf("--allow %q: %+v, %v, want an error with an example", bad, got, err)
		}
	}
}

func TestOneControlPlaneForAState(t *testing.T) {
	state := filepath.Join(t.TempDir(), "a", "state")
	unlock, err := lock(state)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(state); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if _, err := lock(state); err == nil || !strings.Contains(err.Error(), "another control plane runs in "+state) || !strings.Contains(err.Error(), "--state") {
		t.Errorf("%v", err)
	}
	unlock()
	unlock, err = lock(state)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	file := write(t, filepath.Join(t.TempDir(), "file"), "")
	if _, err := lock(file); err == nil || !strings.Contains(err.Error(), "state directory") {
		t.Errorf("%v", err)
	}
}

func TestSockets(t *testing.T) {
	path := filepath.Join(shortDir(t), "api.sock")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close() // as when a control plane was killed
	for others, mode := range map[bool]os.FileMode{false: 0o600, true: 0o666} {
		l, err := listenUnix(path, others)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("for others %v: %v, %v, want %o", others, st.Mode(), err, mode)
		}
		l.Close()
		if _, err := os.Stat(path); err == nil {
			t.Error("it is left behind")
		}
	}
	if _, err := listenUnix(filepath.Join(shortDir(t), strings.Repeat("x", 120)), false); err == nil || !strings.Contains(err.Error(), "107 bytes") {
		t.Errorf("%v", err)
	}
}

// What stands in a socket's place and is none is somebody's, and stays.
func TestSocketsSpareFiles(t *testing.T) {
	dir := shortDir(t)
	if _, err := listenUnix(write(t, filepath.Join(dir, "api.sock"), "notes"), false); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("%v", err)
	}
	f := upFlags{state: dir, sockets: filepath.Join(shortDir(t), "sockets")}
	if _, _, err := f.listen(true); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "api.sock")); err != nil || string(b) != "notes" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSocketsElsewhere(t *testing.T) {
	f := upFlags{state: shortDir(t), sockets: filepath.Join(shortDir(t), "sockets")}
	api, proxies, err := f.listen(true)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	defer proxies.Close()
	for _, of := range []func(string) string{apiSocket, meshSocket} { // the owner finds them in the state too
		c, err := net.Dial("unix", of(f.state))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if got := socketDir(f.state); got != f.sockets {
		t.Errorf("the sockets are in %s, want %s", got, f.sockets)
	}
	if err := os.Chmod(f.sockets, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := prepareSockets(f.sockets); err == nil || !strings.Contains(err.Error(), "chmod go-w "+f.sockets) {
		t.Errorf("%v", err)
	}
}

func TestReadable(t *testing.T) {
	dir := t.TempDir()
	if err := readable([]string{dir, write(t, filepath.Join(dir, "a"), "")}); err != nil {
		t.Error(err)
	}
	if err := readable([]string{dir, "/no/such"}); err == nil || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("%v", err)
	}
}

// A finding is told when it comes up, and again when it comes back: not with every change of something else.
func TestFindingsAreToldOnce(t *testing.T) {
	var out strings.Builder
	f := &findings{out: &out, said: map[string]bool{}}
	at := func(level mesh.Level, name string) dialect.Located {
		return dialect.Located{Position: dialect.Position{File: "a.yaml", Line: 3}, Finding: mesh.Finding{Ref: decision.Ref{Kind: "Service", Name: name}, Text: "wrong", Level: level}}
	}
	a, b, note := at(mesh.Error, "a"), at(mesh.Warning, "b"), at(mesh.Info, "c")
	for _, step := range []struct {
		now  []dialect.Located
		want int
	}{{nil, 0}, {[]dialect.Located{a, note}, 1}, {[]dialect.Located{a, b}, 1}, {[]dialect.Located{a, b}, 0}, {[]dialect.Located{b}, 0}, {[]dialect.Located{a, b}, 1}} {
		out.Reset()
		f.changed(&control.View{Findings: step.now})
		if got := strings.Count(out.String(), "\n"); got != step.want {
			t.Errorf("%d lines, want %d: %s", got, step.want, out.String())
		}
	}
	if !strings.HasPrefix(out.String(), "a.yaml:3: error: Service a") {
		t.Errorf("%s", out.String())
	}
}

func TestDefaultState(t *testing.T) {
	t.Setenv("WEFT_STATE", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("HOME", "/h")
	if got := DefaultState(); got != "/h/.local/state/weft" {
		t.Error(got)
	}
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	if got := DefaultState(); got != "/run/user/7/weft" {
		t.Error(got)
	}
	t.Setenv("WEFT_STATE", "/w")
	if got := DefaultState(); got != "/w" || stateHint("/w") != "" || stateHint("/x") != " --state /x" {
		t.Error(got)
	}
}

func TestAppliedWords(t *testing.T) {
	key := func(name string) dialect.Key {
		return dialect.Key{Kind: "VirtualService", Namespace: "default", Name: name}
	}
	var many []dialect.Key
	for i := range 7 {
		many = append(many, key(strconv.Itoa(i)))
	}
	for _, x := range []struct {
		a    control.Applied
		want string
	}{
		{control.Applied{New: many[:1]}, "configuration: 1 object added (VirtualService default/0)"},
		{control.Applied{Changed: []dialect.Key{{Kind: "Namespace", Name: "shop"}}, Refused: many[:2]},
			"configuration: 1 object changed (Namespace shop); 2 objects refused (VirtualService default/0, VirtualService default/1)"},
		{control.Applied{Gone: many}, "configuration: 7 objects removed (VirtualService default/0, VirtualService default/1, " +
			"VirtualService default/2, VirtualService default/3, VirtualService default/4, 2 more)"},
	} {
		if got := appliedWords(x.a); got != x.want {
			t.Errorf("%s\nwant %s", got, x.want)
		}
	}
}
