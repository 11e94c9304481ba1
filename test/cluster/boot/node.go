package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// first is the first process of a node: it makes the node's file system and network, starts its programs, and waits for whatever ends.
type first struct {
	n, nodes int
	kube     string
	images   []string
	tell     *os.File
	children *children
}

func node(args []string) error {
	f := &first{tell: os.NewFile(3, "keeper")}
	syscall.CloseOnExec(3)
	flags := flag.NewFlagSet("node", flag.ExitOnError)
	flags.IntVar(&f.n, "n", 0, "which node it is")
	flags.IntVar(&f.nodes, "nodes", 0, "how many there are")
	flags.StringVar(&f.kube, "kube", "", "the program kube")
	images := flags.String("images", "", "docker archives, with commas")
	_ = flags.Parse(args) // it exits
	f.images = strings.Split(*images, ",")
	if err := f.up(); err != nil {
		fmt.Fprintf(f.tell, "%s%q\n", sayFailed, err.Error())
		return err
	}
	fmt.Fprintln(f.tell, sayStarted)
	f.tell.Close()
	return f.children.await()
}

// at is a place in the node's directory.
func (f *first) at(name string) string {
	return filepath.Join(cluster.Dir, cluster.NodeName(f.n), name)
}

func (f *first) up() error {
	fmt.Fprintln(f.tell, sayEntered)
	if err := syscall.Sethostname([]byte(cluster.NodeName(f.n))); err != nil {
		return err
	}
	for _, dir := range append(slices.Collect(maps.Values(places)), "log", "groups") {
		if err := os.MkdirAll(f.at(dir), 0o755); err != nil {
			return err
		}
	}
	if err := f.copyPlugins(); err != nil { // before their directory is what is mounted there
		return err
	}
	// The network is made by ip, before there are children to wait for.
	if err := f.awaitLink(); err != nil {
		return err
	}
	if err := configureLinks(f.n, f.nodes); err != nil {
		return err
	}
	if err := f.mount(); err != nil {
		return err
	}
	if err := f.set(); err != nil {
		return err
	}
	if err := f.configure(); err != nil {
		return err
	}
	return f.start()
}

// awaitLink waits for what the keeper gives.
func (f *first) awaitLink() error {
	return retry(30*time.Second, func() error {
		_, err := net.InterfaceByName("eth0")
		return err
	})
}

// mount gives the node a /run, a /sys and cgroups of its own, and its part of cluster.Dir where kubelet and containerd keep what they
// have. Mounts are shared within the node, since pods may have some that go on to others.
func (f *first) mount() error {
	hs, err := hierarchies() // as the machine has them
	if err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts: %w", err)
	}
	if err := f.mountGroups(hs); err != nil {
		return err
	}
	for _, m := range []struct{ kind, at string }{{"tmpfs", "/run"}, {"sysfs", "/sys"}, {"bpf", "/sys/fs/bpf"}} {
		if err := syscall.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := syscall.Mount(f.at("groups"), "/sys/fs/cgroup", "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("mount /sys/fs/cgroup: %w", err)
	}
	for to, from := range places {
		if err := syscall.Mount(f.at(from), to, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", to, err)
		}
	}
	return nil
}

// mountGroups mounts the hierarchies anew, so that their roots are the node's groups, at the names that the machine has for them.
func (f *first) mountGroups(hs []hierarchy) error {
	if err := syscall.Mount("groups", f.at("groups"), "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, h := range hs {
		name := filepath.Base(h.at)
		at := filepath.Join(f.at("groups"), name)
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount("cgroup", at, "cgroup", 0, h.options); err != nil {
			return fmt.Errorf("mount cgroup %s: %w", h.options, err)
		}
		for c := range strings.SplitSeq(name, ",") { // cpu and cpuacct may be links to cpu,cpuacct
			if c == name {
				continue
			}
			if err := os.Symlink(name, filepath.Join(f.at("groups"), c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// set sets what belongs to the node's network, and has kubelet see what it insists on rather than change the machine's kernel.
func (f *first) set() error {
	for name, value := range map[string]string{"ipv4/ip_forward": "1", "bridge/bridge-nf-call-iptables": "1",
		"ipv6/conf/all/forwarding": "1", "bridge/bridge-nf-call-ip6tables": "1"} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"kernel/panic": "10", "kernel/panic_on_oops": "1", "vm/overcommit_memory": "1"} {
		shown := f.at(filepath.Base(name))
		if err := os.WriteFile(shown, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(shown, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("/proc/sys/%s: %w", name, err)
		}
	}
	return nil
}

const containerd = "/run/containerd/containerd.sock"

// start starts containerd, and once that answers and has the first image, which every pod needs, kube-proxy and kubelet.
func (f *first) start() error {
	f.children = newChildren(f.at("log"))
	if err := f.children.start("containerd", "containerd", "--config", f.at("containerd.toml")); err != nil {
		return err
	}
	if err := retry(30*time.Second, func() error { return f.ctr("version") }); err != nil {
		return err
	}
	for i, image := range f.images {
		if err := f.ctr("-n", "k8s.io", "image", "import", "--digests=false", image); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		if err := f.children.start("kube-proxy", f.kube, "kube-proxy", "--config", f.at("proxy.yaml")); err != nil {
			return err
		}
		if err := f.children.start("kubelet", f.kube, "kubelet", "--config", f.at("kubelet.yaml"), "--kubeconfig", pki(cluster.NodeName(f.n)+".kubeconfig"),
			"--node-ip", cluster.NodeIP(f.n)+","+cluster.NodeIP6(f.n), "--hostname-override", cluster.NodeName(f.n), "--v=2"); err != nil {
			return err
		}
	}
	return nil
}

func (f *first) ctr(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return f.children.run(ctx, append([]string{"ctr", "-a", containerd}, args...)...)
}
