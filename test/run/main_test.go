package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bin holds the programs: weft, weft-proxy, and app, which is this test. Everybody may execute them.
var bin string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "app" {
		os.Exit(app(os.Args[2:]))
	}
	os.Exit(withPrograms(m.Run))
}

func withPrograms(run func() int) int {
	err := build()
	defer os.RemoveAll(bin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

func build() (err error) {
	if bin, err = os.MkdirTemp("", "weft-bin-"); err != nil {
		return err
	}
	c := exec.Command("go", "build", "-o", bin, "./cmd/weft", "./cmd/weft-proxy")
	c.Dir, c.Stderr, c.Env = filepath.Join("..", ".."), os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	if err := c.Run(); err != nil {
		return fmt.Errorf("build the programs: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(self)
	return errors.Join(err, os.WriteFile(program("app"), b, 0o600), os.Chmod(program("app"), 0o755), os.Chmod(bin, 0o755))
}

func program(name string) string { return filepath.Join(bin, name) }
