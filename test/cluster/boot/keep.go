package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/weft-mesh/weft/test/cluster"
)

//go:embed manifests
var manifests embed.FS

// keeper is the process that a cluster lives by: whatever it has started ends when it does.
type keeper struct {
	nodes          int
	checkout, kube string
	images         []string
	ended          chan *process
	starting       []*nodeStart
	state          cluster.State
	log            io.Writer
}

// keep starts a cluster, says so, and stays until it is told to end by a signal or, unless with -stay, by the end of its input. However
// it ends, even by a panic, it takes the cluster away; only if it is killed, the next one does.
func keep(args []string) (err error) {
	k := &keeper{log: os.Stderr, ended: make(chan *process, 64)}
	flags := flag.NewFlagSet("keep", flag.ExitOnError)
	flags.IntVar(&k.nodes, "nodes", 1, "how many nodes")
	flags.StringVar(&k.checkout, "checkout", "", "where it was started from")
	flags.StringVar(&k.kube, "kube", "", "the program kube")
	images := flags.String("images", "", "docker archives that every node gets, with commas")
	stay := flags.Bool("stay", false, "do not end with the input")
	_ = flags.Parse(args) // it exits
	k.images = strings.Split(*images, ",")

	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // who started this may be gone, and with it who reads
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if !*stay {
		over, end := context.WithCancel(ctx) // not stop, after which a signal would kill this process
		ctx = over
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			end()
		}()
	}
	defer func() {
		if err != nil {
			fmt.Printf("%s%q\n", cluster.SayFailed, err.Error())
		}
	}()
	lock, err := cluster.TakeLock(k.checkout)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := sweep(); err != nil { // of one that was killed
		return err
	}
	defer func() { err = errors.Join(err, sweep()) }()
	if err := k.up(ctx); err != nil {
		return err
	}
	fmt.Println(cluster.SayReady)
	return k.watch(ctx)
}

// watch writes down what ends, until it is time.
func (k *keeper) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-k.ended:
			fmt.Fprintf(k.log, "%s has ended (%v)\n", p.name, p.err)
		}
	}
}

func (k *keeper) up(ctx context.Context) error {
	for _, dir := range []string{"log", "pki", "etcd"} {
		if err := os.MkdirAll(filepath.Join(cluster.Dir, dir), 0o700); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(cluster.Dir, "log", "keeper.log"))
	if err != nil {
		return err
	}
	k.log = log
	if err := makePlaces(); err != nil {
		return err
	}
	k.state = cluster.State{Keeper: os.Getpid(), Checkout: k.checkout, Kubeconfig: pki("admin.kubeconfig"), Tool: filepath.Join(filepath.Dir(k.kube), "kubectl")}
	if err := writePKI(k.nodes); err != nil {
		return err
	}
	if err := makeGroups(k.nodes); err != nil {
		return err
	}
	if err := makeBridge(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{k.startServers, k.startNodes, k.startControllers, k.awaitNodes, k.startDNS, k.startBalancer} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return k.state.Write()
}

// apply gives the API server objects.
func (k *keeper) apply(ctx context.Context, manifest string) error {
	b, err := manifests.ReadFile("manifests/" + manifest)
	if err != nil {
		return err
	}
	return k.kubectl(ctx, strings.ReplaceAll(string(b), "$DNS", cluster.DNS), "apply", "-f", "-")
}
