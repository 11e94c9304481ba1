package room

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/internal/sys"
)

// Given is what this process was given: RLIMIT_NOFILE; of memory what GOMEMLIMIT says, or its control group, whichever is less.
func Given() Options {
	var o Options
	o.Files, _ = sys.FileLimit()
	self, _ := os.ReadFile("/proc/self/cgroup")
	o.Memory = group(string(self), os.DirFS("/sys/fs/cgroup"))
	if n := debug.SetMemoryLimit(-1); n > 0 && n < math.MaxInt64 && (o.Memory == 0 || uint64(n) < o.Memory) {
		o.Memory = uint64(n)
	}
	return o
}

// unlimited is where version 1 of control groups says that there is no bound: the largest number, rounded to pages.
const unlimited = 1 << 62

// group returns the memory that the process' control group may use, and those around it (cgroups(7)); 0: there is no bound. self is
// /proc/self/cgroup.
func group(self string, root fs.FS) (least uint64) {
	for line := range strings.Lines(self) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) < 3 {
			continue
		}
		dir, file := "", "memory.max"
		switch {
		case f[0] == "0" && f[1] == "":
		case f[1] == "memory":
			dir, file = "memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for at := path.Clean("/" + f[2]); ; at = path.Dir(at) {
			b, err := fs.ReadFile(root, path.Join(dir, at[1:], file))
			n, bad := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
			if err == nil && bad == nil && n > 0 && n < unlimited && (least == 0 || n < least) {
				least = n
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}
