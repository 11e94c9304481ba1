package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/node/podnet"
)

// asPlugin, in the environment, makes the test binary be the plugin.
const asPlugin = "WEFT_TEST_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) == "" {
		os.Exit(m.Run())
	}
	if err := Plugin("weft-cni", os.Stdout); err != nil {
		_ = err.Print()
		os.Exit(1)
	}
}

const prev = `{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"address":"10.0.0.7/24","interface":0}],"own":{"a":1}}`

// run calls the plugin as a container runtime does, for a pod with annotations; nil: the runtime passes none on.
func run(t *testing.T, command, netns string, annotated map[string]string, change func(map[string]any)) (string, error) {
	t.Helper()
	config := map[string]any{"cniVersion": "1.0.0", "name": "n", "type": Name, "prevResult": json.RawMessage(prev)}
	if annotated != nil {
		config["runtimeConfig"] = map[string]any{annotations: annotated}
	}
	if change != nil {
		change(config)
	}
	in, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Env = []string{asPlugin + "=1", "CNI_COMMAND=" + command, "CNI_CONTAINERID=c", "CNI_IFNAME=eth0", "CNI_PATH=/nowhere", "CNI_NETNS=" + netns,
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web"}
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	return string(out), err
}

func TestPlugin(t *testing.T) {
	network := func() (*proctest.Space, string) {
		s := proctest.NewSpace(t)
		s.Must(t, func() error { return proctest.Up("lo") })
		return s, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.FD(t))
	}
	redirected := func(s *proctest.Space) error { return s.Run(func() error { return podnet.Redirected(t.Context()) }) }
	config := map[string]string{"kubernetes.io/config.seen": "now"} // the kubelet's own, so that there is always one
	meshed := map[string]string{"kubernetes.io/config.seen": "now", Redirect: `{"proxyUID":15001,"excludeOutboundPorts":[25]}`}

	// A pod that is not in the mesh: nothing happens to it, whatever its annotations, or though nobody says which it has.
	for _, annotated := range []map[string]string{config, nil, {}} {
		s, at := network()
		if out, err := run(t, "ADD", at, annotated, nil); err != nil || out != prev {
			t.Errorf("%v: %s, %v", annotated, out, err)
		}
		if err := redirected(s); !errors.Is(err, podnet.ErrMissing) {
			t.Errorf("%v: %v", annotated, err)
		}
		if out, err := run(t, "CHECK", at, annotated, nil); err != nil || out != "" {
			t.Errorf("check of %v: %s, %v", annotated, out, err)
		}
	}

	s, at := network()
	if out, err := run(t, "CHECK", at, meshed, nil); err == nil || !strings.Contains(out, podnet.ErrMissing.Error()) {
		t.Errorf("check before: %s, %v", out, err)
	}
	for range 2 { // runtimes may call again
		if out, err := run(t, "ADD", at, meshed, nil); err != nil || out != prev {
			t.Errorf("%s, %v", out, err)
		}
		if err := redirected(s); err != nil {
			t.Error(err)
		}
	}
	if out, err := run(t, "CHECK", at, meshed, nil); err != nil {
		t.Errorf("check: %s, %v", out, err)
	}
	if out, err := run(t, "DEL", at, meshed, nil); err != nil || out != "" {
		t.Errorf("%s, %v", out, err)
	}

	// What cannot be done keeps the pod from starting, and the runtime is told why.
	_, at = network()
	for name, x := range map[string]struct {
		netns  string
		text   string
		change func(map[string]any)
		says   string
	}{
		"wrong ports":        {at, `{"excludeInboundPorts":["http"]}`, nil, "neither a port nor a range"},
		"of a later version": {at, `{"redirectUDP":true}`, nil, "unknown field"},
		"empty":              {at, ``, nil, Redirect},
		"no network":         {"/nowhere/at/all", `{}`, nil, "/nowhere/at/all"},
		"not a network":      {"/proc/self/status", `{}`, nil, "load the redirection"},
		"alone":              {at, `{}`, func(c map[string]any) { delete(c, "prevResult") }, "after a plugin that does"},
	} {
		out, err := run(t, "ADD", x.netns, map[string]string{Redirect: x.text}, x.change)
		if err == nil || !strings.Contains(out, x.says) {
			t.Errorf("%s: %s, %v; want %q", name, out, err, x.says)
		}
	}
	// A pod whose network is gone is deleted all the same.
	if out, err := run(t, "DEL", "", map[string]string{Redirect: "{"}, nil); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	version := func(v string) func(map[string]any) {
		return func(c map[string]any) { c["cniVersion"] = v; delete(c, "prevResult") }
	}
	for _, command := range []string{"STATUS", "GC"} {
		if out, err := run(t, command, "", nil, version("1.1.0")); err != nil {
			t.Errorf("%s: %s, %v", command, out, err)
		}
	}
	if out, err := run(t, "VERSION", "", nil, nil); err != nil || !strings.Contains(out, `"1.1.0"`) {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := run(t, "ADD", at, config, version("9.0.0")); err == nil {
		t.Errorf("of a version that nobody knows: %s", out)
	}
}
