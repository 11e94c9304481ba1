package guard

import (
	"bytes"
	"context"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/weft-mesh/weft/cli"
)

var update = flag.Bool("update", false, "write docs/cli.md")

// bin gets the programs that pages speak of.
var bin string

// programs builds weft, weft-proxy and the sample shop, once.
var programs = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/...", "./examples/bookinfo")
	cmd.Dir, cmd.Env, cmd.Stderr = "../..", append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	return cmd.Run()
})

func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "weft-docs-bin"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(bin)
	os.Exit(code)
}

// Every example of every page works as it is shown.
func TestPages(t *testing.T) {
	makefile, err := fs.ReadFile(root, "Makefile")
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (name != "." && d.Name()[0] == '.' || name == "bin") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if path.Ext(name) == ".md" {
			t.Run(name, func(t *testing.T) { checkPage(t, name, string(makefile)) })
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// readable is what is there, and of a folder nothing.
func readable(name string) (text string, there bool) {
	b, _ := fs.ReadFile(root, name)
	return string(b), exists(name)
}

func checkPage(t *testing.T, name, makefile string) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range Dead(name, string(text), readable) {
		t.Error(b)
	}
	dir, err := os.MkdirTemp("", "weft-docs") // t.TempDir's names are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	examples, err := filepath.Abs("../../examples")
	if err == nil {
		err = os.Symlink(examples, filepath.Join(dir, "examples")) // pages are read in the root of the repository
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	s := newSession(dir, bin)
	defer func() {
		if err := s.end(); err != nil {
			t.Error(err)
		}
	}()
	for _, b := range Blocks(string(text)) {
		if b.Lang == "console" && !b.Has(onCluster) && programs() != nil {
			t.Fatal("go build fails")
		}
		checkBlock(ctx, t, s, b, makefile)
		if t.Failed() {
			return // what follows builds on it
		}
	}
}

func checkBlock(ctx context.Context, t *testing.T, s *session, b Block, makefile string) {
	var broken []string
	switch b.Lang {
	case "yaml":
		checkObjects(t, s, b)
	case "txtar":
		if err := s.write(b.File(), b.Text); err != nil {
			t.Errorf("line %d: %v", b.Line, err)
		}
	case "console":
		if b.Has(onCluster) {
			return
		}
		for _, c := range b.Commands() {
			do := s.do
			if b.Has("background") {
				do = s.start
			}
			if err := do(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
	case "go":
		if b.File() != "" {
			source, err := fs.ReadFile(root, b.File())
			if err != nil {
				t.Fatal(err)
			}
			broken = Quoted(b, string(source))
		}
	case "sh", "bash", "shell":
		broken = Shell(b, makefile, exists)
	}
	for _, x := range broken {
		t.Error(x)
	}
}

// onCluster marks what a page does on a Kubernetes.
const onCluster = "cluster"

// TestRealPages does what a page does on a Kubernetes: on that of WEFT_KUBECONFIG, with the programs in PATH, WEFT_PAGE. test/e2e makes the
// cluster be as the page's reader is taken to have it.
func TestRealPages(t *testing.T) {
	page, kubeconfig := os.Getenv("WEFT_PAGE"), os.Getenv("WEFT_KUBECONFIG")
	if page == "" || kubeconfig == "" {
		t.Skip("no cluster: test/e2e runs this")
	}
	weft, err := exec.LookPath("weft")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(root, page)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	s := newSession(t.TempDir(), filepath.Dir(weft))
	for _, b := range Blocks(string(text)) {
		switch {
		case b.Lang == "yaml" && b.File() != "":
			if err := s.store(b.File(), b.Text); err != nil {
				t.Fatal(err)
			}
		case b.Lang == "txtar":
			for _, f := range txtar.Parse([]byte(b.Text)).Files {
				if path.Ext(f.Name) != ".yaml" {
					continue
				}
				if err := s.store(f.Name, string(f.Data)); err != nil {
					t.Fatal(err)
				}
			}
		case b.Lang == "console" && b.Has(onCluster):
			for _, c := range b.Commands() {
				began := time.Now()
				if err := s.do(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				t.Logf("%6.1f s  $ %s", time.Since(began).Seconds(), c.Text)
			}
		}
	}
}

// checkObjects lowers what a page shows.
func checkObjects(t *testing.T, s *session, b Block) {
	name := b.File()
	if name == "" {
		name = ".shown.yaml"
	}
	if err := s.write(name, b.Text); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	args := []string{"analyze", filepath.Join(s.dir, name)}
	if b.Has("values") {
		args = []string{"install", "--offline", "--crds", "none", "--values", filepath.Join(s.dir, name)}
	}
	code := cli.Main(args, &out, &out)
	if wrong := b.Has("wrong"); code != 0 && !wrong || code != 1 && wrong {
		t.Errorf("line %d: weft %s ends with %d:\n%s", b.Line, args[0], code, &out)
	}
}

// docs/cli.md says what the commands say.
func TestReference(t *testing.T) {
	t.Setenv("WEFT_STATE", "")
	t.Setenv("XDG_RUNTIME_DIR", "$XDG_RUNTIME_DIR")
	const page = "../../docs/cli.md"
	want := Reference(cli.Root())
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != want {
		t.Errorf("docs/cli.md is behind (%v): run make docs", err)
	}
	if strings.Count(want, "\n## ") < 8 {
		t.Errorf("commands are missing:\n%s", want)
	}
}
