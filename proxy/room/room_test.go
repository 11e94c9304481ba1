package room

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
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
		if got := New(Options{Files: x.bound}).Refuses(c, time.Now()); got != x.want {
			t.Errorf("number %d of %d: %q, want %q", n, x.bound, got, x.want)
		}
	}
	var r *Room
	if r.Refuses(c, time.Now()) != "" || !r.Begin(time.Now(), true) {
		t.Error("no room refuses")
	}
	r.Begun()
	c.(*net.UnixConn).Close()
	if got := New(Options{Files: 1}).Refuses(c, time.Now()); got != "" {
		t.Errorf("a connection that is closed: %q", got)
	}
}

// begins says which calls may begin: of HTTP/1.1, of HTTP/2.
func (r *Room) begins(now time.Time) (out [2]bool) {
	for i := range out {
		if out[i] = r.Begin(now, i == 1); out[i] {
			r.Begun()
		}
	}
	return out
}

// TestMemory: new connections are refused first, then new streams, then new calls; all are taken again when there is memory again.
func TestMemory(t *testing.T) {
	c, _ := pair(t)
	synctest.Test(t, func(t *testing.T) {
		var holds atomic.Uint64
		o := Options{Memory: 100 << 20, Held: func() uint64 { return holds.Load() << 20 }}
		if o.Collect() != 75<<20 {
			t.Errorf("the collector is told %d", o.Collect())
		}
		r := New(o)
		all, one, no := [2]bool{true, true}, [2]bool{true, false}, [2]bool{}
		ctx, cancel := context.WithCancel(t.Context())
		go r.Watch(ctx)
		for _, x := range []struct {
			holds uint64
			conn  string
			calls [2]bool
		}{{10, "", all}, {79, "", all}, {80, Memory, all}, {89, Memory, all}, {90, Memory, one}, {96, Memory, one}, {97, Memory, no}, {200, Memory, no}, {85, Memory, all}, {20, "", all}} {
			holds.Store(x.holds)
			time.Sleep(2 * every)
			synctest.Wait()
			long := time.Unix(0, 0) // before memory was read last: this does not read it
			if why, calls := r.Refuses(c, long), r.begins(long); why != x.conn || calls != x.calls {
				t.Errorf("%d %%: connections %q, calls %v", x.holds, why, calls)
			}
		}
		cancel()
	})
	New(Options{}).Watch(t.Context()) // returns: there is no bound
}

// TestMemoryAsCallersCome: they do not wait for the next time that it is read anyway, and do not all read it.
func TestMemoryAsCallersCome(t *testing.T) {
	holds, reads := uint64(10), 0
	r := New(Options{Memory: 100 << 20, Held: func() uint64 { reads++; return holds << 20 }})
	now := time.Now()
	if r.begins(now) != [2]bool{true, true} {
		t.Error("none begins at 10 %")
	}
	holds = 98
	if before, after := r.begins(now.Add(fresh)), r.begins(now.Add(fresh+1)); !before[0] || after[0] || reads != 2 {
		t.Errorf("%v, then %v; read %d times", before, after, reads)
	}
}

// TestMemoryOfCallsThatBegin: it is not there yet, and is counted all the same, until their answers have begun.
func TestMemoryOfCallsThatBegin(t *testing.T) {
	r := New(Options{Memory: 100 << 20, Held: func() uint64 { return 50 << 20 }})
	now, n := time.Now(), 0
	for ; r.Begin(now, true) && n < 1000; n++ {
		now = now.Add(2 * fresh)
	}
	if want := 40 << 20 / perCall; n != want {
		t.Errorf("%d calls begin, want %d", n, want)
	}
	for range n {
		r.Begun()
	}
	if !r.Begin(now.Add(2*fresh), true) {
		t.Error("none begins afterwards")
	}
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
