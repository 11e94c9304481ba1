// Command boot starts and ends the Kubernetes that tests run on:
//
//	build   build what it is made of, and start nothing
//	up      start it, and leave it running
//	down    end it, and remove all that it has made
//	load    give every node the product's image and the samples', built from the checkout as it is
//
// It is also the processes that a cluster consists of besides Kubernetes' own: keep, which starts everything and takes it away again;
// enter, which joins a cgroup and becomes another program; node, the first process in a node's namespaces.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/weft-mesh/weft/test/cluster"
)

func main() {
	// A process that keep starts is told to end when the thread that started it does. The main thread ends last.
	runtime.LockOSThread()
	if len(os.Args) < 2 {
		usage()
	}
	run := map[string]func([]string) error{"build": build, "up": up, "down": down, "load": load, "keep": keep, "enter": enter, "node": node}[os.Args[1]]
	if run == nil {
		usage()
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: boot build | up [-nodes N] | down | load")
	os.Exit(2)
}

func build([]string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cluster.Build(ctx, say)
}

func up(args []string) error {
	flags := flag.NewFlagSet("up", flag.ExitOnError)
	nodes := flags.Int("nodes", 1, "how many nodes")
	_ = flags.Parse(args) // it exits
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := cluster.Start(ctx, cluster.Options{Nodes: *nodes, Stay: true, Say: say})
	if err != nil {
		return err
	}
	fmt.Printf("export %s PATH=%s:$PATH\n", strings.Join(c.Env(), " "), filepath.Dir(c.Tool))
	return nil
}

func down([]string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getuid() != 0 {
		return errors.New("only root ends a cluster, as only root starts one")
	}
	return cluster.Down(ctx, sweep)
}

func load([]string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := cluster.Running()
	if err != nil {
		return err
	}
	images, err := c.LoadProduct(ctx)
	if err != nil {
		return err
	}
	for _, i := range images {
		fmt.Println(i)
	}
	return nil
}

func say(text string) { fmt.Fprintln(os.Stderr, text) }
