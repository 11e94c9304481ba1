// Command bookinfo is weft's sample shop: four small services that call each other, and a test application that
// speaks every protocol a mesh carries, in one binary.
//
// The services speak the interface of the well-known bookinfo application (paths, JSON fields, propagated headers, and
// the faults that its versions have on purpose), so that configuration written for that one works with this one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// roles are what the binary can be started as.
var roles = []struct {
	name, what string
	build      func(setup) (http.Handler, error) // nil: echo, which has more than one port
}{
	{"productpage", "the shop's pages and API; calls details, reviews and (for its API) ratings", newProductpage},
	{"details", "what a book is; v2 asks an external book service", newDetails},
	{"reviews", "what readers say; v2 and v3 ask ratings for stars, black and red", newReviews},
	{"ratings", "how many stars; v2 reads a file, v-faulty, v-delayed, v-unavailable, v-unhealthy fail on purpose", newRatings},
	{"books", "a stand-in for the external book service that details v2 asks", newBooks},
	{"caller", "makes the calls that it is asked for: what a workload sees", newCaller},
	{"echo", "a test application for HTTP/1.1, HTTP/2, WebSocket, TCP and gRPC", nil},
}

// run returns the exit code: 0 ended as asked, 1 failed, 2 not understood.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(stdout)
		return 0
	}
	start := start
	if args[0] == "echo" {
		start = startEcho
	}
	err := start(ctx, args[0], args[1:], env, stdout, slog.New(slog.NewTextHandler(stderr, nil)))
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "bookinfo:", err)
		return 2
	}
	fmt.Fprintln(stderr, "bookinfo:", err)
	return 1
}

func usage(w io.Writer) {
	fmt.Fprint(w, "bookinfo is weft's sample shop.\n\nusage: bookinfo SERVICE [flags]\n\n")
	for _, r := range roles {
		fmt.Fprintf(w, "  %-12s %s\n", r.name, r.what)
	}
	fmt.Fprint(w, "\nbookinfo SERVICE -h lists the flags; README.md lists the environment variables.\n")
}
