// A Kubernetes for tests. What is heavy of it, Kubernetes and CoreDNS themselves, are modules of their own in kube and coredns, so that
// tests that use a cluster depend on nothing.
module github.com/weft-mesh/weft/test/cluster

go 1.26.0
