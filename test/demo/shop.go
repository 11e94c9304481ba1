package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/weft-mesh/weft/internal/proctest"
)

// shop is the mesh and the sample shop, running.
type shop struct{ *proctest.Mesh }

func newShop(bin string, log io.Writer) (*shop, error) {
	m, err := proctest.New(bin, "weft-demo-", log, "bookinfo")
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(m.Config, os.DirFS("examples/bookinfo/mesh")); err != nil {
		m.Stop()
		return nil, fmt.Errorf("the shop's services: %w; run it at the root of the repository", err)
	}
	return &shop{m}, nil
}

// bookinfo starts one service of the shop.
func (s *shop) bookinfo(service, version, publish string, env []string, more ...string) (*proctest.Process, error) {
	flags := append([]string{"--service", service, "--version", version, "--service-account", "bookinfo-" + service, "--port", "9080/http"}, more...)
	if publish != "" {
		flags = append(flags, "--publish", publish+":9080")
	}
	return s.Run(service+" "+version, env, flags, filepath.Join(s.Bin, "bookinfo"), service, "-version", version)
}
