package files_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/files"
)

// running is a source that runs, and what its events add up to.
type running struct {
	t       *testing.T
	dir     string
	events  chan source.Event
	objects map[string]string // the value of spec, by name
	found   []dialect.Located
	deleted []string
	count   int
}

func run(t *testing.T, dir string, paths ...string) *running {
	t.Helper()
	return runWith(t, dir, files.Options{Paths: paths})
}

func runWith(t *testing.T, dir string, opts files.Options) *running {
	t.Helper()
	opts.Kinds, opts.Now = kinds, func() time.Time { return t0 }
	r := &running{t: t, dir: dir, events: make(chan source.Event, 100), objects: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- files.New(opts).Run(ctx, func(e source.Event) { r.events <- e })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if e := r.next(); !e.Synced {
		t.Errorf("the first event is %+v", e)
	}
	return r
}

func (r *running) next() source.Event {
	r.t.Helper()
	select {
	case e := <-r.events:
		r.count++
		for _, k := range e.Delete {
			delete(r.objects, k.Name)
			r.deleted = append(r.deleted, k.Name)
		}
		for _, o := range e.Put {
			r.objects[o.Name] = fmt.Sprint(o.Tree["spec"])
		}
		r.found = e.Findings
		return e
	case <-time.After(10 * time.Second):
		r.t.Fatalf("no event; there are %v and %v", r.objects, r.found)
		return source.Event{}
	}
}

// await takes events until the objects are as wanted, written "a=1 b=2", and says how many findings there are.
func (r *running) await(want string, findings int) {
	r.t.Helper()
	since := time.Now()
	for r.said() != want || len(r.found) != findings {
		r.next()
	}
	if took := time.Since(since); took > 3*time.Second { // well under 1 s where the machine is not busy
		r.t.Errorf("it took %v", took)
	}
}

func (r *running) said() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.objects)) {
		out = append(out, name+"="+r.objects[name])
	}
	return strings.Join(out, " ")
}

func (r *running) write(name, data string) { r.t.Helper(); write(r.t, r.dir, name, data) }

func spec(name, value string) string { return thing + name + "\nspec: " + value + "\n" }

func TestRun(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", spec("a", "1"))
	r := run(t, dir, dir)
	r.await("a=1", 0)
	r.write("a.yaml", spec("a", "2"))
	r.await("a=2", 0)
	r.write("sub/deeper/b.yaml", spec("b", "1")) // in a directory that was not there
	r.await("a=2 b=1", 0)
	r.write("sub/deeper/b.yaml", spec("b", "2"))
	r.await("a=2 b=2", 0)
	r.write("a.yaml", spec("a", "3")+"---\n"+spec("c", "1"))
	r.await("a=3 b=2 c=1", 0)
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r.await("b=2", 0)
	if err := os.RemoveAll(filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	r.await("", 0)
	r.write("sub/b.json", `{"apiVersion":"g/v1","kind":"Thing","metadata":{"name":"b"},"spec":3}`)
	r.await("b=3", 0)
}

// "the last good version stays in force" (DESIGN section 10), of a file here.
func TestRunKeepsLastGoodContent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", spec("a", "1")+"---\n"+spec("b", "1"))
	r := run(t, dir, dir)
	r.write("a.yaml", spec("a", "2")+"---\n{")
	r.await("a=1 b=1", 1)
	if at := r.found[0]; filepath.Base(at.Position.String()) != "a.yaml:7" || !strings.HasSuffix(at.Text, "; the file's last good content stays in force") {
		t.Error(at)
	}
	r.write("other.yaml", spec("c", "1"))
	r.await("a=1 b=1 c=1", 1)
	r.write("a.yaml", spec("a", "2"))
	r.await("a=2 c=1", 0)
}

func TestRunStartsWithBadContent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", spec("a", "1")+"---\n{")
	r := run(t, dir, dir)
	r.await("a=1", 1)
	r.write("a.yaml", spec("a", "2")+"---\n{")
	r.await("a=2", 1)
}

// Editors write a new file and rename it over the old one, or move the old one away first.
func TestRunRenames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", spec("a", "0"))
	r := run(t, dir, dir)
	path := filepath.Join(dir, "a.yaml")
	for i := 1; i < 6; i++ {
		r.write(".a.tmp", spec("a", fmt.Sprint(i)))
		if i%2 == 0 {
			if err := os.Rename(path, filepath.Join(dir, "a.yaml~")); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(filepath.Join(dir, ".a.tmp"), path); err != nil {
			t.Fatal(err)
		}
		r.await(fmt.Sprintf("a=%d", i), 0)
	}
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted on the way", r.deleted)
	}
	if err := os.Rename(path, filepath.Join(dir, "b.yaml")); err != nil { // the same object elsewhere
		t.Fatal(err)
	}
	for e := r.next(); len(e.Put) == 0 || filepath.Base(e.Put[0].Source.File) != "b.yaml"; {
		e = r.next()
	}
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted when its file was renamed", r.deleted)
	}
}

// A file that is written anew is empty for a moment.
func TestRunTruncated(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", spec("a", "1"))
	r := run(t, dir, dir)
	f, err := os.Create(filepath.Join(dir, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.WriteString(spec("a", "2")); err != nil {
		t.Fatal(err)
	}
	if err = f.Close(); err != nil {
		t.Fatal(err)
	}
	r.await("a=2", 0)
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted on the way", r.deleted)
	}
	r.write("a.yaml", "")
	r.await("", 0)
}

// A writer that does not rename a whole file into place takes its time: what it has not written yet is not gone.
func TestRunWrittenSlowly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", spec("a", "1")+"---\n"+spec("b", "1"))
	r := run(t, dir, dir)
	r.await("a=1 b=1", 0)
	write(t, dir, "a.yaml", spec("a", "2"))
	time.Sleep(100 * time.Millisecond) // the writer's own pause: nothing here waits for it to be enough
	write(t, dir, "a.yaml", spec("a", "2")+"---\n"+spec("b", "2"))
	r.await("a=2 b=2", 0)
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted on the way", r.deleted)
	}
	r.write("a.yaml", spec("a", "2"))
	r.await("a=2", 0)
}

// A mounted ConfigMap is links to ..data, which is a link that is replaced.
func TestRunConfigMap(t *testing.T) {
	dir := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "..1/a.yaml", spec("a", "1"))
	link("..1", "..data")
	link("..data/a.yaml", "a.yaml")
	r := run(t, dir, dir)
	r.await("a=1", 0)
	write(t, dir, "..2/a.yaml", spec("a", "2"))
	link("..2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	r.await("a=2", 0)
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted on the way", r.deleted)
	}
}

func TestRunLinks(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	write(t, elsewhere, "real.yaml", spec("a", "1"))
	write(t, elsewhere, "more/b.yaml", spec("b", "1"))
	for name, target := range map[string]string{"a.yaml": elsewhere + "/real.yaml", "more": elsewhere + "/more", "self": ".", "nowhere.yaml": "/nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, dir, dir, filepath.Join(dir, "self", "self", "more"))
	r.await("a=1 b=1", 0)
	write(t, elsewhere, "real.yaml", spec("a", "2"))
	r.await("a=2 b=1", 0)
	write(t, elsewhere, "more/b.yaml", spec("b", "2"))
	r.await("a=2 b=2", 0)
}

// Where bounds are named, a link leads no further: who may not write there does not decide what is read.
func TestRunWithin(t *testing.T) {
	dir, elsewhere := realTempDir(t), realTempDir(t)
	write(t, dir, "in/a.yaml", spec("a", "1"))
	write(t, elsewhere, "b.yaml", spec("b", "1"))
	link := func(target, name string) {
		t.Helper()
		_ = os.Remove(filepath.Join(dir, name))
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("in", "given") // as `weft up -f given` has it
	link("a.yaml", "in/same.yaml")
	link(elsewhere+"/b.yaml", "in/out.yaml")
	r := runWith(t, dir, files.Options{Paths: []string{filepath.Join(dir, "given")}, Within: []string{filepath.Join(dir, "in")}})
	r.await("a=1", 1)
	if want := "a link leads to " + elsewhere + "/b.yaml, outside of what was named"; !strings.Contains(r.found[0].Text, want) {
		t.Errorf("got %q, want %q", r.found[0].Text, want)
	}
	link("a.yaml", "in/out.yaml")
	r.await("a=1", 0)
	link(elsewhere, "given")
	r.await("a=1", 1) // what it said last stays in force
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted", r.deleted)
	}
}

// A name that begins as a bound does is not within it.
func TestWithinIsByDirectory(t *testing.T) {
	dir := realTempDir(t)
	write(t, dir, "mesh/a.yaml", spec("a", "1"))
	write(t, dir, "mesh2/b.yaml", spec("b", "1"))
	if err := os.Symlink("../mesh2", filepath.Join(dir, "mesh/more")); err != nil {
		t.Fatal(err)
	}
	objects, found := files.Load(files.Options{Paths: []string{filepath.Join(dir, "mesh")}, Kinds: kinds, Within: []string{filepath.Join(dir, "mesh")}})
	if len(objects) != 1 || len(found) != 1 {
		t.Errorf("got %d objects and %v", len(objects), found)
	}
}

func realTempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// One file, named by itself: its neighbours are nothing to us.
func TestRunFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.conf", spec("a", "1"))
	r := run(t, dir, filepath.Join(dir, "a.conf"))
	r.write("b.yaml", spec("b", "1"))
	r.write("a.conf", spec("a", "2"))
	r.await("a=2", 0)
	if err := os.Remove(filepath.Join(dir, "a.conf")); err != nil {
		t.Fatal(err)
	}
	r.await("a=2", 1) // what was asked for has to be there: its last content stays
	if text := r.found[0].Text; !strings.HasSuffix(text, "no such file or directory; what it said last stays in force") {
		t.Error(text)
	}
	r.write("a.conf", spec("a", "3"))
	r.await("a=3", 0)
}

func TestRunDirectoryIsMissing(t *testing.T) {
	dir := t.TempDir()
	r := run(t, dir, filepath.Join(dir, "later"))
	r.await("", 1)
	r.write("later/a.yaml", spec("a", "1"))
	r.await("a=1", 0)
	if err := os.RemoveAll(filepath.Join(dir, "later")); err != nil {
		t.Fatal(err)
	}
	r.await("a=1", 1)
	r.write("later/b.yaml", spec("b", "1"))
	r.await("b=1", 0)
}

// The first file by order has the object; when it goes, the next has it.
func TestRunTwice(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.yaml", spec("x", "2"))
	r := run(t, dir, dir)
	r.await("x=2", 0)
	r.write("a.yaml", spec("x", "1"))
	r.await("x=1", 1)
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	r.await("x=2", 0)
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted on the way", r.deleted)
	}
}

// An object is as old as its key, whatever is edited, unless it says its age.
func TestRunKeepsCreation(t *testing.T) {
	dir, now := t.TempDir(), t0
	write(t, dir, "a.yaml", spec("a", "1"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events := make(chan source.Event, 10)
	clock := make(chan time.Time, 1)
	clock <- now
	go files.New(files.Options{Paths: []string{dir}, Kinds: kinds, Now: func() time.Time {
		n := <-clock
		clock <- n.Add(time.Hour)
		return n
	}}).Run(ctx, func(e source.Event) { events <- e }) //nolint:errcheck // it ends with the test
	<-events
	write(t, dir, "a.yaml", spec("a", "2")+"---\n"+spec("b", "1"))
	created := map[string]time.Time{}
	for len(created) < 2 {
		select {
		case e := <-events:
			for _, o := range e.Put {
				created[o.Name] = o.Created
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no event")
		}
	}
	if !created["a"].Equal(t0) || created["b"].Equal(t0) {
		t.Errorf("created %v", created)
	}
}

// A directory that is renamed, or replaced by another, is watched as before.
func TestRunDirectoryMoves(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one/a.yaml", spec("a", "1"))
	r := run(t, dir, dir)
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	file := func() string { return filepath.Base(filepath.Dir(r.next().Put[0].Source.File)) }
	move("one", "two")
	if got := file(); got != "two" {
		t.Errorf("the object is in %s", got)
	}
	r.write("two/a.yaml", spec("a", "2"))
	r.await("a=2", 0)
	write(t, dir, ".new/a.yaml", spec("a", "3"))
	move("two", ".old")
	move(".new", "two")
	r.await("a=3", 0)
	r.write("two/a.yaml", spec("a", "4"))
	r.await("a=4", 0)
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted on the way", r.deleted)
	}
}

// Of a directory that can't be read, what was known stays.
func TestRunUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := t.TempDir()
	write(t, dir, "sub/a.yaml", spec("a", "1"))
	write(t, dir, "b.yaml", spec("b", "1"))
	r := run(t, dir, dir)
	for _, path := range []string{"sub", "b.yaml"} {
		if err := os.Chmod(filepath.Join(dir, path), 0); err != nil {
			t.Fatal(err)
		}
	}
	r.await("a=1 b=1", 2)
	for _, path := range []string{"sub", "b.yaml"} {
		if err := os.Chmod(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.await("a=1 b=1", 0)
}
