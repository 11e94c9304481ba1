package cni

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const list = `{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}]}`

// place is a node's directories, with files in that of networks.
func place(t *testing.T, files map[string]string) *Place {
	t.Helper()
	p := &Place{Bin: t.TempDir(), Conf: t.TempDir(), Plugin: filepath.Join(t.TempDir(), "plugin"), Log: slog.New(slog.DiscardHandler)}
	write(t, p.Plugin, "program")
	for name, text := range files {
		write(t, filepath.Join(p.Conf, name), text)
	}
	return p
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree is what a directory has, as "name=types" of networks and "name" of others.
func tree(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name := e.Name()
		if filepath.Ext(name) == ".conflist" && len(text) > 0 && text[len(text)-1] != '[' {
			name += "=" + strings.Join(typesOf(t, text), ",")
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestPlace(t *testing.T) {
	const single = `{"cniVersion": "1.0.0", "name": "n", "type": "bridge"}`
	for _, x := range []struct {
		name           string
		files          map[string]string
		with, without  string
		says           error
		installedAgain bool
	}{
		{name: "a list", files: map[string]string{"10-a.conflist": list}, with: "10-a.conflist=bridge,weft-cni", without: "10-a.conflist=bridge"},
		{name: "the first of several", files: map[string]string{"20-b.conflist": list, "10-a.conflist": list, "00-readme.txt": ""},
			with: "00-readme.txt 10-a.conflist=bridge,weft-cni 20-b.conflist=bridge", without: "00-readme.txt 10-a.conflist=bridge 20-b.conflist=bridge"},
		{name: "the first that can be read", files: map[string]string{"10-a.conflist": `{"plugins": [`, "20-b.conflist": list},
			with: "10-a.conflist 20-b.conflist=bridge,weft-cni", without: "10-a.conflist 20-b.conflist=bridge"},
		{name: "a single plugin", files: map[string]string{"10-a.conf": single}, with: "10-a.conf.before-weft 10-a.conflist=bridge,weft-cni", without: "10-a.conf"},
		{name: "none", with: "", without: "", says: ErrNoNetwork},
	} {
		p := place(t, x.files)
		if err := p.Installed(); err == nil {
			t.Errorf("%s: it is said to be installed before it is", x.name)
		}
		changed, err := p.Install()
		if !errors.Is(err, x.says) || !changed {
			t.Errorf("%s: %v, %v", x.name, changed, err)
		}
		if got := tree(t, p.Conf); got != x.with {
			t.Errorf("%s: %s, want %s", x.name, got, x.with)
		}
		if err := p.Installed(); !errors.Is(err, x.says) {
			t.Errorf("%s: %v", x.name, err)
		}
		if changed, err := p.Install(); changed || !errors.Is(err, x.says) {
			t.Errorf("%s, again: %v, %v", x.name, changed, err)
		}
		if info, err := os.Stat(filepath.Join(p.Bin, Name)); err != nil || info.Mode().Perm()&0o555 != 0o555 {
			t.Errorf("%s: %v, %v", x.name, info, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody waits for runtimes
		if err := p.Remove(ctx, true); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		if got := tree(t, p.Conf); got != x.without {
			t.Errorf("%s, removed: %s, want %s", x.name, got, x.without)
		}
		if got := tree(t, p.Bin); got != "" {
			t.Errorf("%s: left %s", x.name, got)
		}
		if err := p.Remove(ctx, true); err != nil {
			t.Errorf("%s, removed again: %v", x.name, err)
		}
	}
}

// A list in a file that runtimes take for a single plugin is none to them.
func TestInstalledElsewhere(t *testing.T) {
	text, err := insert([]byte(list))
	if err != nil {
		t.Fatal(err)
	}
	p := place(t, map[string]string{"10-a.conf": string(text)})
	write(t, filepath.Join(p.Bin, Name), "program")
	if err := p.Installed(); err == nil {
		t.Error("it is said to be installed")
	}
	if _, err := p.Install(); err != nil {
		t.Error(err)
	}
	if err := p.Installed(); err != nil {
		t.Error(err)
	}
}

// A configuration that only root may read stays one.
func TestPlaceModes(t *testing.T) {
	p := place(t, map[string]string{"10-a.conflist": list})
	if _, err := p.Install(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(p.Conf, "10-a.conflist")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestPlaceKeepsProgram(t *testing.T) {
	p := place(t, map[string]string{"10-a.conflist": list})
	if _, err := p.Install(); err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if tree(t, p.Conf) != "10-a.conflist=bridge" || tree(t, p.Bin) != Name {
		t.Errorf("%s, %s", tree(t, p.Conf), tree(t, p.Bin))
	}
	// Another version of the program takes the place of one that is in use, whole.
	write(t, p.Plugin, "another program")
	if changed, err := p.Install(); !changed || err != nil {
		t.Errorf("%v, %v", changed, err)
	}
	if b, err := os.ReadFile(filepath.Join(p.Bin, Name)); err != nil || string(b) != "another program" {
		t.Errorf("%s, %v", b, err)
	}
}

// Whoever gives the node its network may write its configuration anew, under another name too, and take it away: the plugin is in it
// again as soon as there is one.
func TestKeep(t *testing.T) {
	p := place(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	looks := make(chan error, 100)
	var keeping sync.WaitGroup
	keeping.Go(func() {
		if err := p.Keep(ctx, func(err error) { looks <- err }); err != nil {
			t.Error(err)
		}
	})
	until := func(what, want string) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for tree(t, p.Conf) != want {
			select {
			case <-looks:
			case <-limit:
				t.Fatalf("%s: %s, want %s", what, tree(t, p.Conf), want)
			}
		}
	}
	if err := <-looks; !errors.Is(err, ErrNoNetwork) {
		t.Errorf("%v", err)
	}
	write(t, filepath.Join(p.Conf, "10-a.conflist"), list)
	until("a network comes", "10-a.conflist=bridge,weft-cni")
	write(t, filepath.Join(p.Conf, "10-a.conflist"), strings.ReplaceAll(list, "bridge", "ptp"))
	until("it is another one", "10-a.conflist=ptp,weft-cni")
	write(t, filepath.Join(p.Conf, "05-b.conflist"), list)
	until("one comes before it", "05-b.conflist=bridge,weft-cni 10-a.conflist=ptp,weft-cni")
	for _, name := range []string{"05-b.conflist", "10-a.conflist"} {
		if err := os.Remove(filepath.Join(p.Conf, name)); err != nil {
			t.Fatal(err)
		}
	}
	until("there is none", "")
	cancel()
	keeping.Wait()
	if _, err := os.Stat(filepath.Join(p.Bin, Name)); errors.Is(err, fs.ErrNotExist) {
		t.Error("the plugin is gone though nobody removed it")
	}
}
