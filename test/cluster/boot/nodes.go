package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/test/cluster"
)

// What a node says on its third file, a line each.
const (
	sayEntered = "entered" // it is in its namespaces
	sayStarted = "started" // its programs run, and it has the images
	sayFailed  = "failed " // and Go's quoted string
)

// nodeStart is a node that is starting.
type nodeStart struct {
	n       int
	process *process
	says    *bufio.Scanner
	file    *os.File
}

// startNodes has the nodes start side by side, while the API server does.
func (k *keeper) startNodes(ctx context.Context) error {
	for n := 1; n <= k.nodes; n++ {
		s, err := k.startNode(n)
		if err != nil {
			return err
		}
		k.starting = append(k.starting, s)
	}
	for _, s := range k.starting {
		if err := s.hear(ctx, sayEntered); err != nil {
			return err
		}
		if err := connect(s.n, s.process.cmd.Process.Pid); err != nil {
			return err
		}
	}
	return nil
}

// awaitNodes ends when all are Ready. It tells of each.
func (k *keeper) awaitNodes(ctx context.Context) error {
	api, err := newAPI()
	if err != nil {
		return err
	}
	for _, s := range k.starting {
		if err := s.hear(ctx, sayStarted); err != nil {
			return err
		}
		s.file.Close()
		first, err := child(s.process.cmd.Process.Pid)
		if err != nil {
			return err
		}
		name := cluster.NodeName(s.n)
		k.state.Nodes = append(k.state.Nodes, cluster.Node{Name: name, Address: cluster.NodeIP(s.n), Process: first})
		if err := k.await(ctx, name+" is not Ready", func(ctx context.Context) error {
			return api.is(ctx, "/api/v1/nodes/"+name, "Ready")
		}); err != nil {
			return err
		}
		fmt.Println(name + " is Ready")
	}
	return nil
}

// startNode has unshare make the namespaces, and this program be the first process in them; that ends with unshare, and with it all
// processes of the node. The node's network has no name, and no mount that would outlive it.
func (k *keeper) startNode(n int) (*nodeStart, error) {
	program, err := self()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	argv := []string{"unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "--mount-proc",
		program, "node", "-n", strconv.Itoa(n), "-nodes", strconv.Itoa(k.nodes), "-kube", k.kube, "-images", strings.Join(k.images, ",")}
	p, err := k.start(cluster.NodeName(n), cluster.NodeName(n), []*os.File{w}, argv...)
	if err != nil {
		r.Close()
		return nil, err
	}
	return &nodeStart{n, p, bufio.NewScanner(r), r}, nil
}

// hear waits for a word of the node. A node that ends says no more.
func (s *nodeStart) hear(ctx context.Context, want string) error {
	stop := context.AfterFunc(ctx, func() { s.file.Close() })
	defer stop()
	if !s.says.Scan() {
		err := errors.Join(s.says.Err(), context.Cause(ctx))
		return fmt.Errorf("%s has ended while it started (%v); the end of what it wrote:\n%s", s.process.name, err, tail(s.process.log))
	}
	said := s.says.Text()
	if why, ok := strings.CutPrefix(said, sayFailed); ok {
		if text, err := strconv.Unquote(why); err == nil {
			why = text
		}
		return fmt.Errorf("%s: %s", s.process.name, why)
	}
	if said != want {
		return fmt.Errorf("%s says %q, not %q", s.process.name, said, want)
	}
	return nil
}

// child is the one that a process has.
func child(of int) (int, error) {
	all, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		if strings.Contains(string(b), fmt.Sprintf("\nPPid:\t%d\n", of)) {
			return strconv.Atoi(filepath.Base(filepath.Dir(name)))
		}
	}
	return 0, fmt.Errorf("process %d has no child", of)
}
