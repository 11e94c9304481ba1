package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// sweep removes all of a cluster, whether it is running or what one left that was killed. Nothing of it is worth a gentle end.
func sweep() error {
	var errs []error
	for _, step := range []func() error{endAll, removeLinks, removeGroups, removeMounts, removePlaces, removeDir} {
		errs = append(errs, step())
	}
	return errors.Join(errs...)
}

// endAll kills the members of the cluster's groups until there are none: they may start others in the meantime.
func endAll() error {
	var left []int
	err := retry(20*time.Second, func() error {
		if left = members(); len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return errors.New("they do not end")
	})
	if err != nil {
		return fmt.Errorf("processes %v: %w", left, err)
	}
	return nil
}

// removeLinks removes the bridge, with the routes over it, and what hung on it. The kernel does the latter itself once a node's network
// is gone, some time after its last process.
func removeLinks() error {
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, l := range links {
		if l.Name != cluster.Bridge && !strings.HasPrefix(l.Name, cluster.Link) {
			continue
		}
		e := run(ctx, "", "ip", "link", "del", l.Name)
		if _, gone := net.InterfaceByName(l.Name); e != nil && gone == nil {
			err = errors.Join(err, e)
		}
	}
	return err
}

// removeMounts is for what should not be: all mounts of nodes are in namespaces of their own. But what is below one would be removed too.
func removeMounts() error {
	mounts, err := cluster.Mounts()
	for _, m := range mounts {
		if e := syscall.Unmount(m, syscall.MNT_DETACH); e != nil {
			err = errors.Join(err, fmt.Errorf("umount %s: %w", m, e))
		}
	}
	return err
}

// removeDir does nothing while there is a mount.
func removeDir() error {
	return retry(5*time.Second, func() error {
		if mounts, err := cluster.Mounts(); err != nil || len(mounts) > 0 {
			return errors.Join(err, fmt.Errorf("%s: has mounts %v", cluster.Dir, mounts))
		}
		return os.RemoveAll(cluster.Dir)
	})
}
