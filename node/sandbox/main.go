package sandbox

import (
	"os"
	"runtime/debug"
)

// Names under which a program is executed again: as the first process of a sandbox, and as what becomes the application.
const (
	initName   = "weft: sandbox"
	launchName = "weft: launch"
)

// Main is called first by the main function of a program that calls Create: Create executes the program again, and then Main
// does the work of the sandbox's first process and does not return. Otherwise it does nothing.
func Main() {
	switch os.Args[0] {
	case initName:
		debug.SetGCPercent(20) // it lives as long as the application and does next to nothing: small before fast
		os.Exit(runInit())
	case launchName:
		os.Exit(launch())
	}
}
