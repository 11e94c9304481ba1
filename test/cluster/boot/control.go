package main

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/weft-mesh/weft/test/cluster"
)

var (
	apiServer = "https://" + cluster.HostIP + ":6443"
	// etcd has ports of its own, for a machine that has another one.
	etcdClients, etcdPeers = loopback(23790), loopback(23800)
)

func loopback(port int) string { return "http://127.0.0.1:" + numbered(port) }

// numbered is a port of what listens on the machine's loopback, where several clusters' servers do.
func numbered(port int) string { return strconv.Itoa(port + cluster.Number) }

// startServers starts etcd and the API server, which takes longest and tries until etcd answers.
func (k *keeper) startServers(context.Context) error {
	if _, err := k.start(controlGroup, "etcd", nil, k.kube, "etcd", "--data-dir", filepath.Join(cluster.Dir, "etcd"),
		"--unsafe-no-fsync", "--log-level", "warn", // nothing of it is to survive
		"--listen-client-urls", etcdClients, "--advertise-client-urls", etcdClients,
		"--listen-peer-urls", etcdPeers, "--initial-advertise-peer-urls", etcdPeers, "--initial-cluster", "default="+etcdPeers); err != nil {
		return err
	}
	_, err := k.start(controlGroup, "kube-apiserver", nil, k.kube, "kube-apiserver", "--etcd-servers", etcdClients,
		"--bind-address", cluster.HostIP, "--advertise-address", cluster.HostIP, "--secure-port", "6443",
		"--tls-cert-file", pki("apiserver.crt"), "--tls-private-key-file", pki("apiserver.key"), "--client-ca-file", pki("ca.crt"),
		"--kubelet-certificate-authority", pki("ca.crt"), "--kubelet-preferred-address-types", "InternalIP",
		"--kubelet-client-certificate", pki("apiserver-kubelet-client.crt"), "--kubelet-client-key", pki("apiserver-kubelet-client.key"),
		"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file", pki("sa.crt"), "--service-account-signing-key-file", pki("sa.key"),
		"--requestheader-client-ca-file", pki("front-ca.crt"), "--requestheader-allowed-names", "front-proxy-client",
		"--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
		"--proxy-client-cert-file", pki("front-proxy-client.crt"), "--proxy-client-key-file", pki("front-proxy-client.key"),
		"--enable-aggregator-routing",
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--service-cluster-ip-range", cluster.Services+","+cluster.Services6, "--allow-privileged", "--endpoint-reconciler-type", "master-count")
	return err
}

// startControllers waits for the API server first, and its roles: the controller manager ends if they are not there. A node that is gone
// is noticed after 12 s rather than 50, for tests of that.
func (k *keeper) startControllers(ctx context.Context) error {
	api, err := newAPI()
	if err != nil {
		return err
	}
	if err := k.await(ctx, "the API server is not ready", func(ctx context.Context) error {
		_, err := api.get(ctx, "/readyz")
		return err
	}); err != nil {
		return err
	}
	if _, err := k.start(controlGroup, "kube-controller-manager", nil, k.kube, "kube-controller-manager", "--kubeconfig", pki("controllers.kubeconfig"),
		"--authentication-kubeconfig", pki("controllers.kubeconfig"), "--authorization-kubeconfig", pki("controllers.kubeconfig"),
		"--use-service-account-credentials", "--service-account-private-key-file", pki("sa.key"), "--root-ca-file", pki("ca.crt"),
		"--cluster-signing-cert-file", pki("ca.crt"), "--cluster-signing-key-file", pki("ca.key"),
		"--leader-elect=false", "--bind-address", "127.0.0.1", "--secure-port", numbered(10270),
		"--node-monitor-period", "1s", "--node-monitor-grace-period", "12s", "--controllers", "*,-nodeipam"); err != nil {
		return err
	}
	if _, err := k.start(controlGroup, "kube-scheduler", nil, k.kube, "kube-scheduler", "--kubeconfig", pki("scheduler.kubeconfig"),
		"--authentication-kubeconfig", pki("scheduler.kubeconfig"), "--authorization-kubeconfig", pki("scheduler.kubeconfig"),
		"--leader-elect=false", "--bind-address", "127.0.0.1", "--secure-port", numbered(10290)); err != nil {
		return err
	}
	return k.apply(ctx, "rbac.yaml")
}

// startDNS ends when CoreDNS answers.
func (k *keeper) startDNS(ctx context.Context) error {
	if err := k.apply(ctx, "coredns.yaml"); err != nil {
		return err
	}
	api, err := newAPI()
	if err != nil {
		return err
	}
	return k.await(ctx, "CoreDNS is not ready", func(ctx context.Context) error {
		return api.is(ctx, "/apis/apps/v1/namespaces/kube-system/deployments/coredns", "Available")
	})
}
