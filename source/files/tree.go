package files

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
)

// tree is what is known of all files.
type tree struct {
	opts    Options
	files   map[string]*file
	order   []string // of names
	emitted map[dialect.Key]*dialect.Object
	found   []dialect.Located // the last event's
	said    bool              // the last look changed what there is to say
}

// file is one that was read.
type file struct {
	info    fs.FileInfo
	read    time.Time
	sum     [sha256.Size]byte
	objects []*dialect.Object // of the last good content; of the first content, if none was good, what could be read of it
	good    bool              // some content was read without an error
	found   []dialect.Located
	suspect bool              // at the last look it was empty or gone
	looked  [sha256.Size]byte // content that was not believed yet
	looks   int               // how often it was seen
}

func newTree(opts Options) *tree {
	return &tree{opts: opts, files: map[string]*file{}, emitted: map[dialect.Key]*dialect.Object{}}
}

// look reads what changed and returns what follows from it; more: another look is wanted soon. A nil watcher is for looking
// once.
func (t *tree) look(w *watcher) (e source.Event, more bool) {
	w.begin()
	walk := walk{enter: w.enter, seen: map[string]bool{}, within: t.opts.Within}
	for _, p := range t.opts.Paths {
		if p == Stdin && t.opts.Stdin != nil {
			walk.given(p, t.opts.Stdin)
			continue
		}
		walk.root(p)
	}
	w.end()
	more = t.update(&walk)
	e.Put, e.Delete, e.Findings = t.changes(t.notices(walk.lost))
	t.said = !slices.Equal(t.found, e.Findings)
	t.found = e.Findings
	return e, more
}

// update brings files up to date with a walk.
func (t *tree) update(w *walk) (more bool) {
	now, there := t.opts.Now(), map[string]bool{}
	var order []string
	for _, f := range w.files {
		there[f.name], order = true, append(order, f.name)
		if t.files[f.name] == nil {
			t.files[f.name] = &file{}
		}
		more = t.refresh(t.files[f.name], f, now) || more
	}
	for _, name := range t.order {
		switch f := t.files[name]; {
		case there[name]:
		case slices.ContainsFunc(w.lost, func(l lost) bool { return l.covers(name) }):
			order = append(order, name)
		case !f.suspect:
			f.suspect, more, order = true, true, append(order, name)
		default:
			delete(t.files, name)
		}
	}
	t.order = order
	return more
}

// fresh is how long after a change a file's time may hide another: file systems count in coarse steps.
const fresh = 2 * time.Second

// refresh reads a file if it may have changed; more: look again soon, since it is empty and was not, as when somebody has just
// begun to write it.
func (t *tree) refresh(f *file, at found, now time.Time) (more bool) {
	if f.info != nil && !f.suspect && sameInfo(f.info, at.info) && f.read.Sub(f.info.ModTime()) > fresh {
		return false
	}
	data, err := at.content()
	if err != nil {
		f.found = []dialect.Located{trouble(at.name, err, len(f.objects) > 0)}
		f.info = nil
		return false
	}
	if empty := len(data) == 0; empty && len(f.objects) > 0 && !f.suspect {
		f.suspect = true
		return true
	}
	sum := sha256.Sum256(data)
	if t.unfinished(f, at.name, data, sum, now) {
		return true
	}
	again := f.info != nil && sum == f.sum
	f.suspect, f.info, f.read, f.sum = false, at.info, now, sum
	if !again {
		t.take(f, at.name, data, now)
	}
	return false
}

// settled is how often a file has to look the same, at intervals of again, before fewer objects in it than before are believed: an
// object that goes may open what it closed, and a writer that does not rename a whole file into place may not be through.
const settled = 4

// unfinished says whether somebody may be writing the file just now.
func (t *tree) unfinished(f *file, name string, data []byte, sum [sha256.Size]byte, now time.Time) bool {
	if len(f.objects) == 0 || f.info != nil && sum == f.sum {
		return false
	}
	if f.looked != sum {
		f.looked, f.looks = sum, 0
	}
	f.looks++
	objects, _ := Parse(t.opts.Kinds, name, data, now)
	return f.looks < settled && len(objects) < len(f.objects)
}

// take reads new content. If it has errors, the last good content stays.
func (t *tree) take(f *file, name string, data []byte, now time.Time) {
	objects, found := Parse(t.opts.Kinds, name, data, now)
	for _, o := range objects {
		t.age(o)
	}
	if f.found = found; !slices.ContainsFunc(found, isError) {
		f.objects, f.good = objects, true
		return
	}
	if !f.good {
		f.objects = objects
		return
	}
	for i := range found {
		if isError(found[i]) {
			found[i].Text += "; the file's last good content stays in force"
		}
	}
}

func isError(f dialect.Located) bool { return f.Level == mesh.Error }

// age gives an object that was just read the creation time of its key's earlier version, unless it names its own.
func (t *tree) age(o *dialect.Object) {
	meta, _ := o.Tree["metadata"].(map[string]any)
	if old := t.emitted[o.Key()]; old != nil && meta["creationTimestamp"] == nil {
		o.Created = old.Created
	}
}

func sameInfo(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// content is what was given, or what is in the file.
func (f *found) content() ([]byte, error) {
	if f.info == nil {
		return f.text, nil
	}
	return read(f.real)
}

// read reads a file up to a byte over MaxSize, which Parse refuses.
func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}

// trouble is the finding of a path that can't be read.
func trouble(name string, err error, stays bool) dialect.Located {
	f := mesh.Finding{Ref: decision.Ref{Kind: dialect.FileKind, Name: name}, Text: fmt.Sprintf("it can't be read: %v", err), Level: mesh.Error}
	if stays {
		f.Text += "; what it said last stays in force"
	}
	return dialect.Located{Position: dialect.Position{File: name}, Finding: f}
}

// notices is what there is to say of files and paths.
func (t *tree) notices(missing []lost) (out []dialect.Located) {
	for _, l := range missing {
		stays := slices.ContainsFunc(t.order, l.covers)
		out = append(out, trouble(l.name, l.err, stays))
	}
	for _, name := range t.order {
		out = append(out, t.files[name].found...)
	}
	return out
}

// changes compares the objects of all files with what was emitted.
func (t *tree) changes(notices []dialect.Located) (put []*dialect.Object, gone []dialect.Key, _ []dialect.Located) {
	var all []*dialect.Object
	for _, name := range t.order {
		all = append(all, t.files[name].objects...)
	}
	kept, twice := dialect.Unique(t.opts.Kinds, all)
	now := make(map[dialect.Key]*dialect.Object, len(kept))
	for _, o := range kept {
		k, old := o.Key(), t.emitted[o.Key()]
		if now[k] = o; old == nil || old != o && !reflect.DeepEqual(old, o) {
			put = append(put, o)
		}
	}
	for k := range t.emitted {
		if now[k] == nil {
			gone = append(gone, k)
		}
	}
	slices.SortFunc(gone, dialect.Key.Compare)
	t.emitted = now
	return put, gone, append(notices, twice...)
}
