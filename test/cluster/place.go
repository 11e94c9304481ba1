package cluster

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Number is which of a machine's clusters this process is about, of the environment's CLUSTER. Each has names and addresses of its own.
var Number = number(os.Getenv("CLUSTER"))

// numbers is how many clusters a machine can have.
const numbers = 8

func number(s string) int {
	n, err := strconv.Atoi(cmp.Or(s, "0"))
	if err != nil || n < 0 || n >= numbers {
		fmt.Fprintf(os.Stderr, "CLUSTER=%s: it is a number from 0 to %d\n", s, numbers-1)
		os.Exit(2)
	}
	return n
}

// name is a cluster's: the first has the plain one.
func name(plain string) string {
	if Number == 0 {
		return plain
	}
	return fmt.Sprintf("%s-%d", plain, Number)
}

var (
	// Dir is everything that a running cluster writes. It is gone with the cluster.
	Dir = name("/var/lib/weft-cluster")
	// Group is the cluster's group in each hierarchy of cgroups, with one below it for the control plane and for each node.
	Group = name("weft-cluster")
	// Bridge is what the nodes' networks hang on; Link begins the names of the machine's ends of them.
	Bridge, Link = fmt.Sprintf("weftbr%d", Number), fmt.Sprintf("weft%dv", Number)
	// HostIP is the control plane's address, and what nodes reach the machine by.
	HostIP = fmt.Sprintf("10.%d.0.1", 77+Number)
	// Services and Pods are the ranges of their addresses, API is the API server's in the first, and DNS where the cluster's names are answered.
	Services, Pods = fmt.Sprintf("10.%d.0.0/16", 96+Number), fmt.Sprintf("10.%d.0.0/16", 244+Number)
	API, DNS       = fmt.Sprintf("10.%d.0.1", 96+Number), fmt.Sprintf("10.%d.0.10", 96+Number)
	// HostIP6, Services6 and Pods6 are the same by IPv6. Addresses of the cluster are unique local ones (RFC 4193).
	HostIP6          = network6 + ":1"
	Services6, Pods6 = fmt.Sprintf("fd77:%d:96::/112", Number), fmt.Sprintf("fd77:%d:244::/48", Number)
	// Balanced begins the addresses of Services of type LoadBalancer, of which there are 254.
	Balanced = fmt.Sprintf("10.%d.1.", 77+Number)
)

// network6 begins the addresses of nodes and of what they reach the machine by.
var network6 = fmt.Sprintf("fd77:%d:", Number)

const (
	// MaxNodes is how many nodes there can be: their addresses are made of one digit.
	MaxNodes = 9
	// PauseImage is what holds a pod's namespaces.
	PauseImage = "weft.test/pause:1"
	// DNSImage is CoreDNS.
	DNSImage = "weft.test/coredns:1"
)

// NodeName, NodeIP and NodePods are a node's name, address, and its pods' addresses. Nodes are counted from 1.
func NodeName(n int) string { return fmt.Sprintf("node%d", n) }

// NodeIP is a node's address.
func NodeIP(n int) string { return fmt.Sprintf("10.%d.0.1%d", 77+Number, n) }

// NodePods is the range of the addresses of a node's pods.
func NodePods(n int) string { return fmt.Sprintf("10.%d.%d.0/24", 244+Number, n) }

// NodeIP6 is a node's address by IPv6.
func NodeIP6(n int) string { return fmt.Sprintf("%s:1%d", network6, n) }

// NodePods6 is the range of its pods' addresses by IPv6.
func NodePods6(n int) string { return fmt.Sprintf("fd77:%d:244:%d::/64", Number, n) }

// State is what a running cluster tells of itself, in StateFile.
type State struct {
	Keeper     int    `json:"keeper"`     // the process that keeps it
	Checkout   string `json:"checkout"`   // the checkout of weft that it was started from
	Kubeconfig string `json:"kubeconfig"` // of an administrator
	Tool       string `json:"kubectl"`    // kubectl
	Nodes      []Node `json:"nodes"`
}

// Node is one of a cluster's.
type Node struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Process int    `json:"process"` // the first in its namespaces, as the machine counts
}

// StateFile is there while a cluster is up.
var StateFile = filepath.Join(Dir, "state.json")

// Write tells what is running.
func (s *State) Write() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(StateFile+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(StateFile+".new", StateFile)
}

// ErrNone is that no cluster is running.
var ErrNone = errors.New("no cluster is running on this machine; make cluster starts one")

func readState() (*State, error) {
	b, err := os.ReadFile(StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	s := &State{}
	if err == nil {
		err = json.Unmarshal(b, s)
	}
	return s, err
}

// Checkout is the root of the checkout of weft that the working directory is in.
func Checkout() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if mod, e := os.ReadFile(filepath.Join(dir, "go.mod")); e == nil && moduleOf(mod) == "github.com/weft-mesh/weft" {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("the working directory is in no checkout of weft: no go.mod above it is of github.com/weft-mesh/weft")
		}
		dir = up
	}
	return "", err
}
