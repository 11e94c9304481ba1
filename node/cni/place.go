package cni

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify" // to be there again at once when somebody writes a network's configuration anew
)

// Place is where a node's container runtime looks for plugins and for the configurations of networks.
type Place struct {
	Bin    string // directory of plugins
	Conf   string // directory of configurations
	Plugin string // file to install as the plugin
	Log    *slog.Logger
}

// ErrNoNetwork says that the node has no network's configuration that the plugin could stand in: nothing gives its pods a network yet.
var ErrNoNetwork = errors.New("no network is configured on this node yet")

// was ends the name of a configuration of a single plugin, which a list has taken the place of.
const was = ".before-weft"

// Install puts the plugin where the runtime finds it, and into the configuration of the network that the runtime gives to pods: the first
// one by name, of those that can be read. It changes nothing where all is as it is to be, and says whether it had to.
func (p *Place) Install() (changed bool, err error) {
	program, err := os.ReadFile(p.Plugin)
	if err != nil {
		return false, err
	}
	if changed, err = replace(filepath.Join(p.Bin, Name), program, 0o755); err != nil {
		return changed, fmt.Errorf("install the plugin: %w", err)
	}
	network, err := p.network()
	if err != nil {
		return changed, err
	}
	inserted, err := p.insert(network)
	if err != nil {
		return changed, fmt.Errorf("%s: %w", network, err)
	}
	return changed || inserted, nil
}

// Installed says whether the plugin is where Install puts it.
func (p *Place) Installed() error {
	if _, err := os.Stat(filepath.Join(p.Bin, Name)); err != nil {
		return err
	}
	network, err := p.network()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(network)
	if err != nil {
		return err
	}
	if with, err := insert(text); err != nil || !bytes.Equal(with, text) || filepath.Ext(network) != ".conflist" {
		return fmt.Errorf("%s is without the plugin", network)
	}
	return nil
}

// network is the configuration that the runtime takes.
func (p *Place) network() (string, error) {
	files, err := p.configurations()
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err == nil {
			_, err = insert(text)
		}
		if err == nil {
			return name, nil
		}
		p.Log.Warn("a network's configuration cannot be read", "file", name, "error", err)
	}
	if err == nil {
		err = fmt.Errorf("%w: there is none in %s", ErrNoNetwork, p.Conf)
	}
	return "", err
}

// configurations are in the order of their names, as runtimes have them (libcni.ConfFiles).
func (p *Place) configurations() (out []string, err error) {
	list, err := os.ReadDir(p.Conf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoNetwork, err)
	}
	for _, e := range list {
		if !e.IsDir() && slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(e.Name())) {
			out = append(out, filepath.Join(p.Conf, e.Name()))
		}
	}
	return out, err
}

func (p *Place) insert(network string) (changed bool, err error) {
	text, err := os.ReadFile(network)
	if err != nil {
		return false, err
	}
	with, err := insert(text)
	if err != nil {
		return false, err
	}
	if filepath.Ext(network) == ".conflist" {
		return replace(network, with, 0o644)
	}
	// A single plugin: runtimes read lists from files of this name alone, and the other one would still come before it.
	if _, err := replace(listOf(network), with, 0o644); err != nil {
		return false, err
	}
	return true, os.Rename(network, network+was)
}

func listOf(network string) string {
	return strings.TrimSuffix(network, filepath.Ext(network)) + ".conflist"
}

// Remove takes the plugin out of all configurations, and with program the plugin itself once runtimes had the time to see that.
func (p *Place) Remove(ctx context.Context, program bool) error {
	list, err := os.ReadDir(p.Conf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range list {
		if err := p.restore(filepath.Join(p.Conf, e.Name())); err != nil {
			return err
		}
	}
	if !program {
		return nil
	}
	select { // a runtime that has not seen it yet would fail to start pods of anybody
	case <-ctx.Done():
	case <-time.After(reload):
	}
	if err := os.Remove(filepath.Join(p.Bin, Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// reload is what runtimes take to read configurations anew: they watch the directory, as this package does.
const reload = 2 * time.Second

// restore makes one file what it was.
func (p *Place) restore(name string) error {
	if before, single := strings.CutSuffix(name, was); single {
		if err := os.Remove(listOf(before)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if _, err := os.Lstat(before); err == nil {
			return os.Remove(name) // somebody has written it anew
		}
		return os.Rename(name, before)
	}
	if filepath.Ext(name) != ".conflist" {
		return nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // of a single plugin, removed above
	}
	if err != nil {
		return err
	}
	without, err := remove(text)
	if err != nil {
		return nil // it was no network's before, and is none of ours
	}
	_, err = replace(name, without, 0o644)
	return err
}

// replace makes a file what it is to be, in one step, and says whether it had to.
func replace(name string, text []byte, mode fs.FileMode) (bool, error) {
	if info, err := os.Stat(name); err == nil {
		mode = info.Mode().Perm() | mode&0o111 // nobody is to read it who could not before
		if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) && mode == info.Mode().Perm() {
			return false, nil
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+Name+"-*") // which runtimes do not take for a configuration
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, bytes.NewReader(text))
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return false, err
	}
	return true, os.Rename(f.Name(), name)
}

// look is how often a place is looked at though nothing was seen to change: the directory of plugins is not watched.
const look = 30 * time.Second

// Keep installs the plugin, and again whenever somebody changes what is there, until ctx ends. It tells tell of each look.
func (p *Place) Keep(ctx context.Context, tell func(error)) error {
	w, err := fsnotify.NewBufferedWatcher(64)
	if err != nil {
		return fmt.Errorf("watch %s: %w", p.Conf, err)
	}
	defer w.Close()
	if err := w.Add(p.Conf); err != nil {
		return fmt.Errorf("watch %s: %w", p.Conf, err)
	}
	again := time.NewTicker(look)
	defer again.Stop()
	for {
		changed, err := p.Install()
		if changed {
			p.Log.Info("the plugin is installed")
		}
		tell(err)
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		case <-w.Errors: // of too many events some are lost: so it looks again
		case <-w.Events:
			settle(ctx, w.Events)
		}
	}
}

// settle waits until a writer is done, but not for one that never is.
func settle(ctx context.Context, events <-chan fsnotify.Event) {
	const quiet, longest = 20 * time.Millisecond, 200 * time.Millisecond
	end := time.After(longest)
	for {
		select {
		case <-events:
		case <-time.After(quiet):
			return
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}
