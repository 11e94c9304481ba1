// Package cluster gives tests a real Kubernetes of one or more nodes on this machine, without an image registry.
//
// The control plane runs in the machine's own network on HostIP; each node is a tree of processes in namespaces and cgroups of its own,
// with its containerd, kubelet and kube-proxy. The machine has routes to pods and Services, so that a test can dial both. One process,
// started by Start, keeps all of it, and takes all of it away when it is told to, or when the test that started it is gone, however that
// ended. There is one cluster at a time on a machine: Start fails with ErrRunning where there is one.
//
// A test says cluster.Shared(t), and works on what that returns: the cluster that `make cluster` has started, or else one that all tests
// of the process share and that ends with it (Main).
//
// What is built for a cluster is kept in the user's cache directory by the hash of its sources (program.go).
package cluster
