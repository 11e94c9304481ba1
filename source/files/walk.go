package files

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// walk finds files. It reads each directory and each file once, whatever links lead there.
type walk struct {
	enter func(dir, name string)
	seen  map[string]bool // by the path without links
	files []found
	lost  []lost

	within []string // Options.Within
}

// found is a file by the name that leads to it, and by the one without links.
type found struct {
	name string
	real string
	info fs.FileInfo // nil: it is none, and text what would be in it
	text []byte
}

// lost is a path that could not be read; what is known of the files at and below it stays.
type lost struct {
	name string
	err  error
}

func (l *lost) covers(name string) bool {
	rest, ok := strings.CutPrefix(name, l.name)
	return ok && (rest == "" || os.IsPathSeparator(rest[0]) || strings.HasSuffix(l.name, string(filepath.Separator)))
}

// root walks a path that the user named: it has to be there, and it may be called anything.
func (w *walk) root(name string) {
	name = filepath.Clean(name)
	w.enter(filepath.Dir(name), filepath.Base(name))
	w.path(name, true)
}

// given takes text for a file of that name.
func (w *walk) given(name string, text []byte) {
	if !w.seen[name] {
		w.seen[name] = true
		w.files = append(w.files, found{name: name, text: text})
	}
}

func (w *walk) path(name string, named bool) {
	real, err := filepath.EvalSymlinks(name)
	if err == nil {
		err = w.confine(real)
	}
	if err != nil {
		w.miss(name, err, named)
		return
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		w.miss(name, err, named)
	case w.seen[real]:
	case info.IsDir():
		w.seen[real] = true
		w.dir(name, real)
	case info.Mode().IsRegular() && (named || isConfig(name)):
		w.seen[real] = true
		if real != name {
			w.enter(filepath.Dir(real), filepath.Base(real))
		}
		w.files = append(w.files, found{name: name, real: real, info: info})
	}
}

// confine returns an error for what lies outside of the paths that bound the walk.
func (w *walk) confine(real string) error {
	if w.within == nil {
		return nil
	}
	real, err := filepath.Abs(real)
	if err == nil && !slices.ContainsFunc(w.within, func(dir string) bool { return (&lost{name: dir}).covers(real) }) {
		err = fmt.Errorf("a link leads to %s, outside of what was named at the start; name that too and start again, or put it here", real)
	}
	return err
}

// miss notes what can't be read. In a directory a name may be gone when it is looked up, or be a link to nowhere; a path that
// the user named has to be there.
func (w *walk) miss(name string, err error, named bool) {
	if named || !os.IsNotExist(err) {
		w.lost = append(w.lost, lost{name, err})
	}
}

func (w *walk) dir(name, real string) {
	w.enter(real, "")
	entries, err := os.ReadDir(real)
	if err != nil {
		w.miss(name, err, false)
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if e.IsDir() || e.Type()&fs.ModeSymlink != 0 || isConfig(e.Name()) {
			w.path(filepath.Join(name, e.Name()), false)
		}
	}
}

func isConfig(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(name)))
}
