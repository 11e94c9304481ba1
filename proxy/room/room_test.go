package room

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
)

// pair is a connection, whose descriptor's number is returned.
func pair(t *testing.T) (sys.Conn, int) {
	ours, theirs, err := sys.StreamPair("room")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	n, err := sys.Number(ours)
	if err != nil {
		t.Fatal(err)
	}
	return ours, n
}

func TestDescriptors(t *testing.T) {
	c, n := pair(t)
	for _, x := range []struct {
		bound uint64
		want  string
	}{{0, ""}, {uint64(2 * n), Descriptors}, {uint64(2*n) + 1, ""}, {uint64(n), Descriptors}} {
		if got := New(Options{Files: x.bound}).Refuses(c); got != x.want {
			t.Errorf("number %d of %d: %q, want %q", n, x.bound, got, x.want)
		}
	}
	var r *Room
	if r.Refuses(c) != "" || r.Full() {
		t.Error("no room refuses")
	}
	c.(*net.UnixConn).Close()
	if got := New(Options{Files: 1}).Refuses(c); got != "" {
		t.Errorf("a connection that is closed: %q", got)
	}
}

// TestMemory: new connections are refused first, then new calls; both are taken again when there is memory again.
func TestMemory(t *testing.T) {
	c, _ := pair(t)
	synctest.Test(t, func(t *testing.T) {
		var holds uint64
		o := Options{Memory: 100 << 20, Held: func() uint64 { return holds << 20 }}
		if o.Collect() != 75<<20 {
			t.Errorf("the collector is told %d", o.Collect())
		}
		r := New(o)
		ctx, cancel := context.WithCancel(t.Context())
		go r.Watch(ctx)
		for _, x := range []struct {
			holds uint64
			conn  string
			call  bool
		}{{10, "", false}, {79, "", false}, {80, Memory, false}, {89, Memory, false}, {90, Memory, true}, {200, Memory, true}, {85, Memory, false}, {20, "", false}} {
			holds = x.holds
			time.Sleep(2 * every)
			synctest.Wait()
			if why := r.Refuses(c); why != x.conn || r.Full() != x.call {
				t.Errorf("%d %%: connections %q, calls %v", x.holds, why, r.Full())
			}
		}
		cancel()
	})
	New(Options{}).Watch(t.Context()) // returns: there is no bound
}

func TestHeldAllocatesNothing(t *testing.T) {
	read := held()
	if n := testing.AllocsPerRun(100, func() { read() }); n > 0 || read() < 1<<20 {
		t.Errorf("%v allocations; %d bytes", n, read())
	}
}

// TestGroup: the smallest bound of a control group and of those around it, of either version.
func TestGroup(t *testing.T) {
	for name, x := range map[string]struct {
		self  string
		files map[string]string
		want  uint64
	}{
		"version 2":        {"0::/a/b\n", map[string]string{"a/b/memory.max": "1000\n", "a/memory.max": "max\n"}, 1000},
		"one around it":    {"0::/a/b\n", map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "500\n"}, 500},
		"its own root":     {"0::/\n", map[string]string{"memory.max": "700\n"}, 700},
		"version 1":        {"4:memory:/a\n1:cpu:/\n0::/\n", map[string]string{"memory/a/memory.limit_in_bytes": "300\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}, 300},
		"mounted as root":  {"4:memory:/outside/of/it\n", map[string]string{"memory/memory.limit_in_bytes": "300\n"}, 300},
		"none":             {"0::/a\n", map[string]string{"a/memory.max": "max\n"}, 0},
		"none, version 1":  {"4:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"nonsense":         {"what\n0:\n", map[string]string{"memory.max": "many\n"}, 0},
		"it is not there":  {"", nil, 0},
		"a way out of it":  {"0::/../../a\n", map[string]string{"a/memory.max": "500\n"}, 500},
		"nothing to speak": {"0::/a\n", map[string]string{"a/memory.max": "0\n"}, 0},
	} {
		dir := t.TempDir()
		for file, text := range x.files {
			at := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := group(x.self, os.DirFS(dir)); got != x.want {
			t.Errorf("%s: %d, want %d", name, got, x.want)
		}
	}
}
