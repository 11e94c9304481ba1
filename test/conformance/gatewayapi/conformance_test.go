// Package gatewayapi runs Gateway API's own conformance suite, as it is, against weft on a cluster of test/cluster. The suite's images come
// from a registry, and there is none: echo-basic is built from the suite's module, CoreDNS is the cluster's, and in the place of echo-advanced is
// test equipment of ours (test/cluster/inpod).
package gatewayapi

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/conformance"
	confv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"

	"github.com/weft-mesh/weft/test/cluster"
)

var core = flag.Bool("core", false, "leave out the tests of gateways' extended features")

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

func TestConformance(t *testing.T) {
	c := cluster.Shared(t)
	t.Setenv("KUBECONFIG", c.Kubeconfig)
	for _, i := range images(t, c) {
		if err := c.LoadImage(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	applyCRDs(t, c)
	c.Install()

	o := conformance.DefaultOptions(t)
	o.GatewayClassName, o.MeshName, o.EnableAllSupportedFeatures = "weft", "weft", !*core
	if *core { // those of the profiles, that is, and these say which there are; of what is not claimed two core tests ask that it be refused
		o.SupportedFeatures = append(o.SupportedFeatures, features.SupportGateway, features.SupportTLSRouteModeTerminate, features.SupportTLSRouteModeMixed)
	}
	o.Implementation = confv1.Implementation{Organization: "weft-mesh", Project: "weft", URL: "https://github.com/weft-mesh/weft", Version: c.Version,
		Contact: []string{"https://github.com/weft-mesh/weft/issues"}}
	o.UsableNetworkAddresses = addresses(cluster.Balanced + "250") // the last ones go last
	o.UnusableNetworkAddresses = addresses("192.0.2.1")            // nobody has it (RFC 5737)
	// What no profile asks for is not set up either: the suite waits for all of that to be ready.
	meshed := slices.ContainsFunc(o.ConformanceProfiles, mesh)
	if meshed {
		o.NamespaceLabels = map[string]string{"weft.dev/inject": "enabled"}
	} else {
		o.ExemptFeatures = append(o.ExemptFeatures, features.SupportMesh)
	}
	if meshed && !slices.ContainsFunc(o.ConformanceProfiles, gateway) {
		o.ExemptFeatures = append(o.ExemptFeatures, features.SupportGateway)
	}
	conformance.RunConformanceWithOptions(t, o)
}

func addresses(ip string) []v1.GatewaySpecAddress {
	kind := v1.IPAddressType
	return []v1.GatewaySpecAddress{{Type: &kind, Value: ip}}
}

func mesh(p suite.ConformanceProfileName) bool { return strings.HasPrefix(string(p), "MESH-") }

func gateway(p suite.ConformanceProfileName) bool { return !mesh(p) }

var image = regexp.MustCompile(`image: (registry\.k8s\.io/[a-z-]+/(echo-[a-z]+|coredns):\S+)`)

// images are those that the suite's manifests name, in all versions that they name.
func images(t *testing.T, c *cluster.Test) []cluster.Image {
	t.Helper()
	tags := map[string][]string{}
	err := fs.WalkDir(conformance.Manifests, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(conformance.Manifests, name)
		for _, m := range image.FindAllStringSubmatch(string(b), -1) {
			if !slices.Contains(tags[m[2]], m[1]) {
				tags[m[2]] = append(tags[m[2]], m[1])
			}
		}
		return err
	})
	if err != nil || len(tags["echo-basic"]) == 0 || len(tags["echo-advanced"]) == 0 || len(tags["coredns"]) == 0 {
		t.Fatal(tags, err)
	}
	basic, err := c.Build(t.Context(), "echo-basic", "test/conformance/gatewayapi", "sigs.k8s.io/gateway-api/conformance/echo-basic")
	if err != nil {
		t.Fatal(err)
	}
	inpod, err := c.InPod(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dns, err := c.CoreDNS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return []cluster.Image{
		{Tags: tags["echo-basic"], Entrypoint: []string{"/echo-basic"}, Files: map[string]string{"/echo-basic": filepath.Join(basic, "echo-basic")}},
		{Tags: tags["echo-advanced"], Entrypoint: []string{"/advanced"}, Files: map[string]string{"/advanced": inpod, "/bin/client": inpod}},
		{Tags: tags["coredns"], Entrypoint: []string{"/coredns"}, Files: map[string]string{"/coredns": dns}},
	}
}

// applyCRDs takes them from Gateway API's module, in the version that the suite is of.
func applyCRDs(t *testing.T, c *cluster.Test) {
	t.Helper()
	dir, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	c.Kubectl("apply", "--server-side", "--force-conflicts", "-k", filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "experimental"))
	c.Kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
}
