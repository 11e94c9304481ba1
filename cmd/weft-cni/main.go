// Weft-cni is the plugin that brings the TCP of pods to their proxies. Weft-node installs it on its node, and the container runtime calls
// it, as the Container Network Interface has it, for each pod that starts.
package main

import (
	"fmt"
	"os"

	"github.com/weft-mesh/weft/node/cni"
)

// version is set by the linker (-X main.version=...).
var version = "dev"

func main() {
	err := cni.Plugin("weft-cni "+version+"; the container runtime calls it, and weft-node installs it", os.Stdout)
	if err == nil {
		return
	}
	if failed := err.Print(); failed != nil {
		fmt.Fprintln(os.Stderr, "weft-cni:", err, failed)
	}
	os.Exit(1)
}
