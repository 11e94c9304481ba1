package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
)

// grove is a tree of a directory of files, looked at by hand.
type grove struct {
	*testing.T
	dir string
	*tree
}

func plant(t *testing.T) *grove {
	dir := t.TempDir()
	return &grove{t, dir, newTree(Options{Paths: []string{dir}, Now: time.Now,
		Kinds: []dialect.Kind{{Group: "example.com", Name: "Thing", Versions: []string{"v1"}}}})}
}

func (g *grove) at(name string) string { return filepath.Join(g.dir, name) }

func (g *grove) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *grove) write(name, object string) {
	g.Helper()
	g.must(errors.Join(os.MkdirAll(filepath.Dir(g.at(name)), 0o700),
		os.WriteFile(g.at(name), []byte("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: "+object+"}\n"), 0o600)))
}

// expect looks, and says how many objects should come and go, how many findings there should be, and whether to look again soon.
func (g *grove) expect(what string, put, gone, found int, more bool) {
	g.Helper()
	e, again := g.look(nil)
	if len(e.Put) != put || len(e.Delete) != gone || len(e.Findings) != found || again != more {
		g.Errorf("%s: %d put, %d gone, to look again: %v; %v", what, len(e.Put), len(e.Delete), again, e.Findings)
	}
}

// TestGoneForAMoment: a file that is away at one look, as between an editor's two steps, keeps its objects until the next.
func TestGoneForAMoment(t *testing.T) {
	g := plant(t)
	g.write("a.yaml", "a")
	g.expect("the first", 1, 0, 0, false)
	at, away := g.at("a.yaml"), g.at("a.yaml~")
	g.must(os.Rename(at, away))
	g.expect("away", 0, 0, 0, true)
	g.must(os.Rename(away, at))
	g.expect("back", 0, 0, 0, false)
	g.must(os.Rename(at, away))
	g.expect("away again", 0, 0, 0, true)
	g.expect("away still", 0, 1, 0, false)
	g.must(os.Rename(away, at))
	g.expect("back after that", 1, 0, 0, false)
}

// TestWrittenSlowly: an object that a file has not any more is gone when the file has looked the same for a while, and not before: who
// writes it may not be through.
func TestWrittenSlowly(t *testing.T) {
	g := plant(t)
	write := func(objects ...string) {
		t.Helper()
		var text []string
		for _, o := range objects {
			text = append(text, "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: "+o+"}\n")
		}
		g.must(os.WriteFile(g.at("a.yaml"), []byte(strings.Join(text, "---\n")), 0o600))
	}
	write("a", "b")
	g.expect("the first", 2, 0, 0, false)
	write("a")
	for range settled - 1 {
		g.expect("half of it", 0, 0, 0, true)
	}
	write("a", "b", "c")
	g.expect("all of it", 1, 0, 0, false)
	write("a")
	for range settled - 1 {
		g.expect("less again", 0, 0, 0, true)
	}
	g.expect("less for good", 0, 2, 0, false)
}

// TestUnreadableStays: what is known of files that can't be read any more stays in force, with a finding.
func TestUnreadableStays(t *testing.T) {
	g := plant(t)
	g.write("sub/a.yaml", "a")
	g.write("sub/b.yaml", "b")
	g.write("c.yaml", "c")
	g.write("d.yaml", "d")
	g.expect("the first", 4, 0, 0, false)
	// Neither a link to itself nor the first page of a process can be read by anybody, root among them.
	links := map[string]string{"sub": "sub", "c.yaml": "c.yaml", "d.yaml": "/proc/self/mem"}
	for name, to := range links {
		g.must(errors.Join(os.Rename(g.at(name), g.at("."+name)), os.Symlink(to, g.at(name))))
	}
	g.expect("unreadable", 0, 0, 3, false)
	g.expect("unreadable still", 0, 0, 3, false)
	for name := range links {
		g.must(errors.Join(os.Remove(g.at(name)), os.Rename(g.at("."+name), g.at(name))))
	}
	g.expect("readable", 0, 0, 0, false)
}

// TestChangedInTheSameTick: file systems count time in coarse steps, so a file that was read right after it was written is read again
// though its size and time are what they were.
func TestChangedInTheSameTick(t *testing.T) {
	g := plant(t)
	g.write("a.yaml", "a")
	info, err := os.Stat(g.at("a.yaml"))
	g.must(err)
	g.expect("the first", 1, 0, 0, false)
	g.write("a.yaml", "b")
	g.must(os.Chtimes(g.at("a.yaml"), info.ModTime(), info.ModTime()))
	g.expect("another object in its place", 1, 1, 0, false)
}
