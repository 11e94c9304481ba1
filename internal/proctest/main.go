package proctest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Main is a program that tests a mesh: it ends when run does, whose context ends with a signal, and says in its last line how many tests
// passed and failed. The exit code is 1 if any has, or run. verbose: log, what a mesh's programs print, is shown; else it is nil.
func Main(program string, verbose bool, run func(ctx context.Context, log io.Writer) (passed, failed int, err error)) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	log := io.Writer(nil)
	if verbose {
		log = os.Stderr
	}
	passed, failed, err := run(ctx, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, program+":", err)
		failed++
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		stop()
		os.Exit(1)
	}
}
