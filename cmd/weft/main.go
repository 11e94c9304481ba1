// Command weft is weft's command line: its commands are in cli.
package main

import (
	"os"

	"github.com/weft-mesh/weft/cli"
	"github.com/weft-mesh/weft/node/sandbox"
)

func main() {
	sandbox.Main() // does not return where this process is the first of a sandbox
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
