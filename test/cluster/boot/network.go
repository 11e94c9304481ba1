package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// ip gives several commands to one ip.
func ip(commands ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return run(ctx, strings.Join(commands, "\n")+"\n", "ip", "-batch", "-")
}

func makeBridge() error {
	return ip(
		"link add "+cluster.Bridge+" type bridge",
		"addr add "+cluster.HostIP+"/24 dev "+cluster.Bridge,
		"addr add "+cluster.HostIP6+"/64 dev "+cluster.Bridge+" nodad",
		"link set "+cluster.Bridge+" up",
	)
}

// connect gives a node's network, named by a process in it, its eth0, and the machine the routes to its pods. ClusterIPs and
// balanced addresses are reached through the first node, by its kube-proxy.
func connect(n, process int) error {
	link := fmt.Sprint(cluster.Link, n)
	commands := []string{
		fmt.Sprintf("link add %s type veth peer name eth0 netns %d", link, process),
		"link set " + link + " master " + cluster.Bridge + " up",
		"route add " + cluster.NodePods(n) + " via " + cluster.NodeIP(n),
		"route add " + cluster.NodePods6(n) + " via " + cluster.NodeIP6(n),
	}
	if n == 1 {
		commands = append(commands, "route add "+cluster.Services+" via "+cluster.NodeIP(n), "route add "+cluster.Services6+" via "+cluster.NodeIP6(n),
			"route add "+cluster.Balanced+"0/24 via "+cluster.NodeIP(n))
	}
	return ip(commands...)
}

// configureLinks is done within a node. Pods of other nodes are reached at those nodes, all of which are on one bridge. By IPv6 there is
// nothing beyond the cluster, and a route there would have calls wait in vain.
func configureLinks(n, nodes int) error {
	commands := []string{
		"link set lo up",
		"addr add " + cluster.NodeIP(n) + "/24 dev eth0",
		"addr add " + cluster.NodeIP6(n) + "/64 dev eth0 nodad",
		"link set eth0 up",
		"route add default via " + cluster.HostIP,
	}
	for other := 1; other <= nodes; other++ {
		if other != n {
			commands = append(commands, "route add "+cluster.NodePods(other)+" via "+cluster.NodeIP(other),
				"route add "+cluster.NodePods6(other)+" via "+cluster.NodeIP6(other))
		}
	}
	return ip(commands...)
}
