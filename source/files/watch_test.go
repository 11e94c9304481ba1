package files_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	steps   sync.Mutex // held while the test is between the steps of a change
}

func run(t *testing.T, dir string, paths ...string) *running {
	t.Helper()
	return runWith(t, dir, files.Options{Paths: paths})
}

func runWith(t *testing.T, dir string, opts files.Options) *running {
	t.Helper()
	if opts.Kinds = kinds; opts.Now == nil {
		opts.Now = func() time.Time { return t0 }
	}
	r := &running{t: t, dir: dir, events: make(chan source.Event, 100), objects: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	f := files.New(opts)
	f.Pace(r.after)
	go func() {
		done <- f.Run(ctx, func(e source.Event) { r.events <- e })
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

// after is the source's clock. It stands still while the test is between two steps, however long the machine takes for these, so that the
// source looks at what is there in between once at most. Looks that nothing asked for never come: what changes has to be told of.
func (r *running) after(d time.Duration) <-chan time.Time {
	if d == files.Slow {
		return nil
	}
	c := make(chan time.Time, 1)
	time.AfterFunc(d, func() {
		r.steps.Lock()
		defer r.steps.Unlock()
		c <- time.Now()
	})
	return c
}

// change makes one in several steps.
func (r *running) change(steps ...func() error) {
	r.t.Helper()
	r.steps.Lock()
	defer r.steps.Unlock()
	for _, step := range steps {
		if err := step(); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *running) next() source.Event {
	r.t.Helper()
	select {
	case e := <-r.events:
		for _, k := range e.Delete {
			delete(r.objects, k.Name)
			r.deleted = append(r.deleted, k.Name)
		}
		for _, o := range e.Put {
			r.objects[o.Name] = fmt.Sprint(o.Tree["spec"])
		}
		r.found = e.Findings
		return e
	case <-time.After(30 * time.Second):
		r.t.Fatalf("no event; there are %v and %v", r.objects, r.found)
		return source.Event{}
	}
}

// await takes events until the objects are as wanted, written "a=1 b=2", and says how many findings there are.
func (r *running) await(want string, findings int) {
	r.t.Helper()
	for r.said() != want || len(r.found) != findings {
		r.next()
	}
}

func (r *running) said() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.objects)) {
		out = append(out, name+"="+r.objects[name])
	}
	return strings.Join(out, " ")
}

// write changes a file, or makes one: it is empty, or not there, for a moment.
func (r *running) write(name, data string) {
	r.t.Helper()
	r.change(r.writes(name, data))
}

// moves is a step.
func (r *running) moves(from, to string) func() error {
	return func() error { return os.Rename(filepath.Join(r.dir, from), filepath.Join(r.dir, to)) }
}

// writes is a step.
func (r *running) writes(name, data string) func() error {
	return func() error { write(r.t, r.dir, name, data); return nil }
}

// links is a step: name leads to target from now on.
func (r *running) links(target, name string) func() error {
	return func() error {
		_ = os.Remove(filepath.Join(r.dir, name))
		return os.Symlink(target, filepath.Join(r.dir, name))
	}
}

// removes is a step.
func (r *running) removes(name string) func() error {
	return func() error { return os.RemoveAll(filepath.Join(r.dir, name)) }
}

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
	r.change(r.removes("a.yaml"))
	r.await("b=2", 0)
	r.change(r.removes("sub"))
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
	for i := 1; i < 6; i++ {
		steps := []func() error{r.writes(".a.tmp", spec("a", fmt.Sprint(i))), r.moves("a.yaml", "a.yaml~"), r.moves(".a.tmp", "a.yaml")}
		if i%2 == 1 {
			steps = slices.Delete(steps, 1, 2)
		}
		r.change(steps...)
		r.await(fmt.Sprintf("a=%d", i), 0)
	}
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted on the way", r.deleted)
	}
	r.change(r.moves("a.yaml", "b.yaml")) // the same object elsewhere
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
	r.change(r.writes("a.yaml", ""), r.writes("a.yaml", spec("a", "2")))
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
	r.change(r.writes("a.yaml", spec("a", "2")), r.writes("a.yaml", spec("a", "2")+"---\n"+spec("b", "2")))
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
	write(t, dir, "..1/a.yaml", spec("a", "1"))
	if err := errors.Join(os.Symlink("..1", filepath.Join(dir, "..data")), os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml"))); err != nil {
		t.Fatal(err)
	}
	r := run(t, dir, dir)
	r.await("a=1", 0)
	r.change(r.writes("..2/a.yaml", spec("a", "2")), r.links("..2", "..data_tmp"), r.moves("..data_tmp", "..data"), r.removes("..1"))
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
	r.dir = elsewhere
	r.write("real.yaml", spec("a", "2"))
	r.await("a=2 b=1", 0)
	r.write("more/b.yaml", spec("b", "2"))
	r.await("a=2 b=2", 0)
}

// Where bounds are named, a link leads no further: who may not write there does not decide what is read.
func TestRunWithin(t *testing.T) {
	dir, elsewhere := realTempDir(t), realTempDir(t)
	write(t, dir, "in/a.yaml", spec("a", "1"))
	write(t, elsewhere, "b.yaml", spec("b", "1"))
	for name, target := range map[string]string{"given": "in", "in/same.yaml": "a.yaml", "in/out.yaml": elsewhere + "/b.yaml"} { // as `weft up -f given` has it
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := runWith(t, dir, files.Options{Paths: []string{filepath.Join(dir, "given")}, Within: []string{filepath.Join(dir, "in")}})
	r.await("a=1", 1)
	if want := "a link leads to " + elsewhere + "/b.yaml, outside of what was named"; !strings.Contains(r.found[0].Text, want) {
		t.Errorf("got %q, want %q", r.found[0].Text, want)
	}
	r.change(r.links("a.yaml", "in/out.yaml"))
	r.await("a=1", 0)
	r.change(r.links(elsewhere, "given"))
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
	r.change(r.removes("a.conf"))
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
	r.change(r.removes("later"))
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
	r.change(r.removes("a.yaml"))
	r.await("x=2", 0)
	if len(r.deleted) > 0 {
		t.Errorf("%v was deleted on the way", r.deleted)
	}
}

// An object is as old as its key, whatever is edited, unless it says its age.
func TestRunKeepsCreation(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", spec("a", "1"))
	clock := make(chan time.Time, 1)
	clock <- t0
	r := runWith(t, dir, files.Options{Paths: []string{dir}, Now: func() time.Time {
		n := <-clock
		clock <- n.Add(time.Hour)
		return n
	}})
	r.write("a.yaml", spec("a", "2")+"---\n"+spec("b", "1"))
	created := map[string]time.Time{}
	for len(created) < 2 {
		for _, o := range r.next().Put {
			created[o.Name] = o.Created
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
	r.change(r.moves("one", "two"))
	for e := r.next(); len(e.Put) == 0 || filepath.Base(filepath.Dir(e.Put[0].Source.File)) != "two"; {
		e = r.next()
	}
	r.write("two/a.yaml", spec("a", "2"))
	r.await("a=2", 0)
	r.change(r.writes(".new/a.yaml", spec("a", "3")), r.moves("two", ".old"), r.moves(".new", "two"))
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
