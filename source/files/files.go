// Package files is the source of objects in files: YAML and JSON, in directories that it watches.
//
// It promises: a change is an event well under a second later; a file that can't be read leaves the objects of its last good
// content as they are, with an Error finding that says where; a file that is gone and back at once, as editors and mounted
// ConfigMaps do it, deletes nothing. Hidden files are not read, and symbolic links are followed, in circles too.
package files

import (
	"context"
	"fmt"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source"
)

// Options says what to read.
type Options struct {
	Paths []string         // files, and directories with all below; in this order
	Kinds []dialect.Kind   // which objects have a namespace
	Now   func() time.Time // [time.Now]

	// Within bounds where links lead: what is neither at nor below one of these paths, absolute and without links, is not read, and
	// an Error finding says so. Who can't write below them then can't change what is read. nil: anywhere.
	Within []string

	// Stdin is the content of the path Stdin, which is read from no file then. nil: that path is one as any other.
	Stdin []byte
}

// Stdin is the path, and in findings the file, of what comes in by standard input.
const Stdin = "-"

// Files is a Source.
type Files struct {
	opts  Options
	tree  *tree
	after func(time.Duration) <-chan time.Time // [time.After], but in tests
}

var _ source.Source = (*Files)(nil)

// New returns a source that reads nothing before Run.
func New(opts Options) *Files {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Files{opts: opts, tree: newTree(opts), after: time.After}
}

// Load reads all files once, as `weft analyze` does. Of objects that stand in two places the first stays, as in Run.
func Load(opts Options) ([]*dialect.Object, []dialect.Located) {
	f := New(opts)
	e, _ := f.tree.look(nil)
	return e.Put, e.Findings
}

const (
	quiet   = 40 * time.Millisecond  // without a change, before files are read
	patient = 100 * time.Millisecond // the longest wait for quiet
	again   = 100 * time.Millisecond // before a file that is empty or gone is believed to be
	slow    = 10 * time.Second       // between looks that nothing asked for: some file systems tell nothing
	blind   = 500 * time.Millisecond // the same where a directory can't be watched
)

// Run reads all files, emits their objects, and then every change until ctx ends.
func (f *Files) Run(ctx context.Context, emit func(source.Event)) error {
	w, err := newWatcher()
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	defer w.close()
	e, more := f.tree.look(w)
	e.Source, e.Synced = f.name(), true
	emit(e)
	for {
		if err := f.wait(ctx, w, more); err != nil {
			return nil
		}
		e, more = f.tree.look(w)
		if e.Source = f.name(); len(e.Put)+len(e.Delete) > 0 || f.tree.said {
			emit(e)
		}
	}
}

func (f *Files) name() string { return "files " + fmt.Sprint(f.opts.Paths) }

// wait returns when there may be something to read: after a change and a moment of quiet, or after a while. more: an earlier
// look asked for another.
func (f *Files) wait(ctx context.Context, w *watcher, more bool) error {
	idle := slow
	switch {
	case more:
		idle = again
	case w.failed:
		idle = blind
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.after(idle):
		return nil
	case <-w.changed():
	}
	return f.settle(ctx, w)
}

// settle waits for quiet.
func (f *Files) settle(ctx context.Context, w *watcher) error {
	deadline, calm := f.after(patient), f.after(quiet)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return nil
		case <-calm:
			return nil
		case <-w.changed():
			calm = f.after(quiet)
		}
	}
}
