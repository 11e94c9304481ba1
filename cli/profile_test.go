package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/observe/stat"
)

func TestProfile(t *testing.T) {
	state := shortDir(t)
	for dir, workload := range map[string]string{"1": "default/web-1", "2": "shop/web-1", "3": "shop/db-1"} {
		socket := write(t, filepath.Join(state, "run", dir, "admin.sock"), "")
		if err := os.Remove(socket); err != nil {
			t.Fatal(err)
		}
		serveUnix(t, socket, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.String() {
			case "/stats":
				_ = json.NewEncoder(w).Encode(stat.Snapshot{Workload: workload})
			case "/profile?kind=heap", "/profile?kind=cpu&seconds=7":
				_, _ = w.Write([]byte("profile of " + workload))
			default:
				http.Error(w, "another CPU profile is being taken", http.StatusConflict)
			}
		}))
	}
	t.Chdir(t.TempDir())
	for _, x := range []struct {
		args string
		code int
		want string // of standard output or error
	}{
		{"db-1 --kind heap -o -", 0, "profile of shop/db-1"},
		{"default/web-1 --seconds 7 -o cpu", 0, "go tool pprof -top cpu\n"},
		{"db-1 --kind heap", 0, "shop-db-1-heap.pb.gz; look"},
		{"db-1", 1, "shop/db-1: no profile: another CPU profile is being taken"},
		{"web-1", 2, "several workloads are called web-1; name one with its namespace, as default/web-1"},
		{"api-1", 2, "no proxy of api-1 runs here"},
		{"db-1 --kind block", 2, `--kind "block": want one of cpu, heap`},
		{"db-1 --seconds 301", 2, "want 1 to 300"},
		{"db-1 --kind allocs --seconds 5", 2, "is of the moment"},
	} {
		code, out, errs := weft(t, append([]string{"proxy", "profile", "--state", state}, strings.Fields(x.args)...)...)
		if code != x.code || !strings.Contains(out+errs, x.want) {
			t.Errorf("%s: exit code %d, %s%s, want %d and %q", x.args, code, out, errs, x.code, x.want)
		}
	}
	for file, want := range map[string]string{"cpu": "profile of default/web-1", "shop-db-1-heap.pb.gz": "profile of shop/db-1"} {
		if b, err := os.ReadFile(file); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", file, b, err)
		}
	}
}

// Where nothing runs, there is nothing that could be told as upgraded.
func TestUpgradeOfNone(t *testing.T) {
	if code, out, errs := weft(t, "proxy", "upgrade", "--all", "--state", shortDir(t)); code != 2 || !strings.Contains(errs, "no proxy runs here under this user") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}
