package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/weft-mesh/weft/test/cluster"
)

// configure writes what the node's programs are configured by.
func (f *first) configure() error {
	values := map[string]string{
		"NODE": cluster.NodeName(f.n), "DIR": f.at(""), "PKI": pki(""), "PODS": cluster.NodePods(f.n), "PODS6": cluster.NodePods6(f.n), "ALL": cluster.Pods + "," + cluster.Pods6, "SOCKET": containerd,
		"PAUSE": cluster.PauseImage, "DNS": cluster.DNS, "HOST": cluster.HostIP,
	}
	for name, text := range map[string]string{
		"cni/10-weft.conflist": cniConfig, "containerd.toml": containerdConfig, "kubelet.yaml": kubeletConfig, "proxy.yaml": proxyConfig,
		"resolv.conf": "nameserver $HOST\n", // where nobody answers: pods resolve what the cluster has
	} {
		if err := os.WriteFile(f.at(name), []byte(os.Expand(text, func(name string) string { return values[name] })), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyPlugins gives the node CNI plugins of its own, beside which others may be installed.
func (f *first) copyPlugins() error {
	from, err := plugins()
	if err != nil {
		return err
	}
	for _, name := range []string{"bridge", "host-local", "portmap", "loopback"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(f.at(places["/opt/cni/bin"]), name), b, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// plugins is where distributions put CNI's.
func plugins() (string, error) {
	places := []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}
	for _, p := range places {
		if _, err := exec.LookPath(filepath.Join(p, "bridge")); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("CNI's plugins are in none of %s; make deps-cluster installs them", strings.Join(places, ", "))
}

const cniConfig = `{"cniVersion": "1.0.0", "name": "weft", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": "$PODS"}], [{"subnet": "$PODS6"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
`

// Without CAP_SYS_RESOURCE oom_score_adj cannot be lowered, and runc dies of trying ("can't get final child's PID from pipe: EOF").
const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "$SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`

// The disk's fill is the machine's affair: no pod is evicted, and no image collected, that was loaded and can be pulled from nowhere.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix://$SOCKET
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$NODE.crt
tlsPrivateKeyFile: $PKI/$NODE.key
clusterDNS: [$DNS]
clusterDomain: cluster.local
resolvConf: $DIR/resolv.conf
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 3s
nodeLeaseDurationSeconds: 20
serializeImagePulls: true
maxPods: 110
`

// conntrack is the machine's own: a network namespace cannot set its sizes.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $PKI/proxy.kubeconfig}
clusterCIDR: $ALL
hostnameOverride: $NODE
bindAddress: 0.0.0.0
nodePortAddresses: ["primary"]
nftables: {minSyncPeriod: 100ms}
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
`
