// Command conformance measures a running mesh by suites that other people wrote:
//
//	h2spec        RFC 9113 and RFC 7541, each case by byte-level clients, against each side of a proxy, and a gateway
//	grpc-interop  gRPC's own client against its own server, with two proxies and mutual TLS between them, and from outside through a
//	              published port and through a gateway
//
// It needs the suites' programs, which make builds from suites/go.mod. It prints what failed, and in its last line how many cases
// passed and failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/node/sandbox"
)

func main() {
	bin := flag.String("bin", "bin", "directory of weft, weft-proxy and conformance")
	suites := flag.String("suites", ".cache/suites", "directory of the suites' programs")
	verbose := flag.Bool("v", false, "show what the programs print")
	flag.Parse()
	if flag.Arg(0) == "serve" { // as a workload of its own mesh
		fmt.Fprintln(os.Stderr, "conformance:", proctest.Serve(flag.Arg(1), http.HandlerFunc(answer)))
		os.Exit(1)
	}
	proctest.Main("conformance", *verbose, func(ctx context.Context, log io.Writer) (passed, failed int, err error) {
		score, err := run(ctx, flag.Arg(0), *bin, *suites, log)
		return score.passed, score.failed, err
	})
}

// score counts cases.
type score struct{ passed, failed int }

func (s *score) add(o score) {
	s.passed += o.passed
	s.failed += o.failed
}

// rig is a mesh, and where the suites' programs are.
type rig struct {
	*proctest.Mesh
	suites string
}

func run(ctx context.Context, suite, bin, suites string, log io.Writer) (score, error) {
	measure := map[string]func(*rig, context.Context) (score, error){"h2spec": (*rig).h2spec, "grpc-interop": (*rig).interop}[suite]
	if measure == nil {
		return score{}, errors.New("which suite: h2spec or grpc-interop")
	}
	suites, err := filepath.Abs(suites)
	if err != nil {
		return score{}, err
	}
	m, err := proctest.New(bin, "weft-conformance-", log, "conformance")
	if err != nil {
		return score{}, err
	}
	defer m.Stop()
	if err := sandbox.Probe(m.Weft()[0]); err != nil {
		return score{}, fmt.Errorf("the suites call the mesh out of namespaces of their own: %w", err)
	}
	if err := os.WriteFile(filepath.Join(m.Config, "services.yaml"), []byte(services), 0o600); err != nil {
		return score{}, err
	}
	if err := m.StartUp(ctx); err != nil {
		return score{}, err
	}
	return measure(&rig{m, suites}, ctx)
}

// services are those that the suites call.
const services = `
apiVersion: v1
kind: Service
metadata: {name: server}
spec:
  selector: {app: server}
  ports: [{port: 8080, appProtocol: http}]
---
apiVersion: v1
kind: Service
metadata: {name: interop}
spec:
  selector: {app: interop}
  ports: [{port: 10000, appProtocol: grpc}]
`
