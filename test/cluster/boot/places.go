package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/test/cluster"
)

// places are where a node's programs, and those that know Kubernetes, look for things, and which of the node's directories is mounted
// there. In the node each has its own; the machine has to have a directory of that name, if only an empty one.
var places = map[string]string{
	"/var/lib/kubelet":    "kubelet",
	"/var/lib/containerd": "containerd",
	"/var/log/pods":       "pods",
	"/var/log/containers": "containers",
	"/etc/cni/net.d":      "cni",
	"/opt/cni/bin":        "plugins",
}

// madePlaces lists those that the machine did not have.
var madePlaces = filepath.Join(cluster.Dir, "made")

func makePlaces() error {
	var made strings.Builder
	for _, place := range slices.Sorted(maps.Keys(places)) {
		for _, dir := range []string{filepath.Dir(place), place} {
			switch err := os.Mkdir(dir, 0o755); {
			case err == nil:
				fmt.Fprintln(&made, dir)
			case !errors.Is(err, fs.ErrExist):
				return err
			}
		}
	}
	return os.WriteFile(madePlaces, []byte(made.String()), 0o600)
}

// removePlaces removes what makePlaces has made, the inner ones first. What somebody has put something in stays. Another cluster's nodes
// have theirs mounted there, and to remove a directory unmounts what other namespaces have on it: the last cluster removes them.
func removePlaces() error {
	b, err := os.ReadFile(madePlaces)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if others := cluster.Others(); len(others) > 0 {
		return handOver(b, filepath.Join(others[0], filepath.Base(madePlaces)))
	}
	dirs := strings.Fields(string(b))
	slices.Reverse(dirs)
	for _, dir := range dirs {
		_ = os.Remove(dir)
	}
	return err
}

// handOver adds to another cluster's list.
func handOver(made []byte, list string) error {
	f, err := os.OpenFile(list, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(made)
	return errors.Join(err, f.Close())
}
