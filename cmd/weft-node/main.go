// Weft-node is weft's part of a node, one pod of a DaemonSet: it installs the plugin that brings the TCP of pods to their proxies, keeps it
// there whatever other programs make of the node's networks, and takes it away when its DaemonSet is deleted. While it is down, or is
// replaced by another version, the plugin stays and works. Weft-node ready says whether the plugin is there, and is for a probe.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/node/cni"
)

// version is set by the linker (-X main.version=...).
var version = "dev"

type flags struct {
	place                 cni.Place
	namespace, name, node string
	ready                 bool
}

func main() {
	f, err := parse(os.Args[1:], os.Getenv)
	if err == nil && f.ready {
		err = f.place.Installed()
	} else if err == nil {
		err = run(f)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "weft-node:", err)
		os.Exit(1)
	}
}

func parse(args []string, env func(string) string) (*flags, error) {
	f := &flags{namespace: env("POD_NAMESPACE"), node: env("NODE_NAME")}
	f.place.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	s := flag.NewFlagSet("weft-node", flag.ContinueOnError)
	s.StringVar(&f.place.Bin, "cni-bin", "/host/cni/bin", "directory where the node's container runtime looks for plugins")
	s.StringVar(&f.place.Conf, "cni-conf", "/host/cni/net.d", "directory where it looks for networks")
	s.StringVar(&f.place.Plugin, "plugin", "/weft-cni", "program to install as the plugin")
	s.StringVar(&f.name, "daemonset", "weft-node", "DaemonSet with whose end the plugin is taken away")
	if err := s.Parse(args); err != nil {
		return nil, err
	}
	if f.ready = s.NArg() == 1 && s.Arg(0) == "ready"; s.NArg() > 0 && !f.ready {
		return nil, fmt.Errorf("%q: want flags, and at most the word ready after them", s.Args())
	}
	if f.namespace == "" || f.node == "" {
		return nil, errors.New("POD_NAMESPACE or NODE_NAME is not set; the chart sets both")
	}
	return f, nil
}

func run(f *flags) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := f.place.Log
	log.Info("weft-node", "version", version, "plugins", f.place.Bin, "networks", f.place.Conf)
	said, runtime := "", ""
	err := f.place.Keep(ctx, func(err error) {
		if runtime == "" { // as long as it may be asked for: at the end it may not
			runtime = f.runtime(ctx)
		}
		if now := fmt.Sprint(err); err != nil && now != said {
			said = now
			log.Warn("pods of the mesh cannot start here", "error", err)
		} else if err == nil {
			said = ""
		}
		debug.FreeOSMemory() // the programs that were compared, of 3 MB each
	})
	if err != nil {
		return err
	}
	return f.leave(runtime)
}

// runtime names the node's container runtime, or is empty.
func (f *flags) runtime(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	a, err := inCluster(os.Getenv)
	if err != nil {
		return ""
	}
	return f.ask(ctx, a)
}

// ask asks for the runtime, and, since the end is too late for that, tries whether the other question is answered.
func (f *flags) ask(ctx context.Context, a *api) string {
	if _, err := a.gone(ctx, f.namespace, f.name); err != nil {
		f.place.Log.Warn("when the DaemonSet is deleted, the plugin will stay", "error", err)
	}
	name, err := a.runtime(ctx, f.node)
	if err != nil {
		f.place.Log.Warn("which container runtime this node has is not known", "error", err)
	}
	return name
}

// The time that the API server has for each answer: the kubelet kills this process 30 s after it told it to end.
const answer = 5 * time.Second

// leave takes the plugin away if weft-node is not to run here any more. Where nobody says so, the plugin stays: pods of the mesh go on
// starting with it, and not without.
func (f *flags) leave(runtime string) error {
	a, err := inCluster(os.Getenv)
	if err != nil {
		f.place.Log.Warn("the plugin stays: no API server can be asked whether the DaemonSet is deleted", "error", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), answer)
	defer cancel()
	return f.end(ctx, a, runtime)
}

// end takes the plugin away if the API server says that the DaemonSet is deleted.
func (f *flags) end(ctx context.Context, a *api, runtime string) error {
	log := f.place.Log
	gone, err := a.gone(ctx, f.namespace, f.name)
	if err != nil {
		return fmt.Errorf("the plugin stays: whether the DaemonSet is deleted is not known: %w", err)
	}
	if !gone {
		log.Info("the plugin stays")
		return nil
	}
	// CRI-O ends a pod's network as it began it, with all plugins of then: without the program no pod could end.
	program := strings.HasPrefix(runtime, "containerd://")
	log.Info("the DaemonSet is deleted: taking the plugin away", "program", program, "runtime", runtime)
	return f.place.Remove(context.Background(), program)
}
