package files

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// watcher tells that something changed in any of its directories; what, a look at them tells.
type watcher struct {
	notify *fsnotify.Watcher
	change chan struct{} // holds one: there was a change
	failed bool          // a directory could not be watched

	mu   sync.Mutex
	dirs map[string][]string // the names in a directory that matter; nil: all
}

func newWatcher() (*watcher, error) {
	n, err := fsnotify.NewBufferedWatcher(1024)
	if err != nil {
		return nil, err
	}
	w := &watcher{notify: n, change: make(chan struct{}, 1), dirs: map[string][]string{}}
	go w.run()
	return w, nil
}

// run ends when the watcher is closed. An error means that events were lost: a change too.
func (w *watcher) run() {
	for {
		select {
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			if !w.matters(e) {
				continue
			}
		case _, ok := <-w.notify.Errors:
			if !ok {
				return
			}
		}
		select {
		case w.change <- struct{}{}:
		default:
		}
	}
}

// matters says whether an event can change what there is to read. A name that appears or goes may be a link on the way to a
// file, hidden too, as those of a mounted ConfigMap are.
func (w *watcher) matters(e fsnotify.Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	names, whole := w.dirs[filepath.Dir(e.Name)]
	switch {
	case len(names) > 0:
		return slices.Contains(names, filepath.Base(e.Name))
	case whole && (e.Op == fsnotify.Write || e.Op == fsnotify.Chmod):
		return isConfig(e.Name)
	}
	return true
}

func (w *watcher) changed() <-chan struct{} { return w.change }

// enter begins to watch a directory, before it is read, so that nothing falls between; or one name in it.
func (w *watcher) enter(dir, name string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	names, entered := w.dirs[dir]
	switch {
	case name == "" || entered && names == nil:
		w.dirs[dir] = nil
	default:
		w.dirs[dir] = append(names, name)
	}
	w.mu.Unlock()
	if err := w.notify.Add(dir); err != nil && !errors.Is(err, fsnotify.ErrClosed) {
		w.failed = true
	}
}

// begin forgets which directories are wanted, and end stops watching those that were not entered since.
func (w *watcher) begin() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirs, w.failed = map[string][]string{}, false
}

func (w *watcher) end() {
	if w == nil {
		return
	}
	for _, dir := range w.notify.WatchList() {
		if !w.wanted(dir) {
			_ = w.notify.Remove(dir) // it is gone from the list, whatever it says
		}
	}
}

func (w *watcher) wanted(dir string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, wanted := w.dirs[dir]
	return wanted
}

func (w *watcher) close() { _ = w.notify.Close() }
