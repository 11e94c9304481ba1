// Package cni is weft's part in a node's pod networks: a plugin that the container runtime calls for each pod, after the plugins that give
// the pod its network (Plugin), and what puts the plugin there, keeps it there, and takes it away (Place).
//
// It promises: a pod that says by annotation what is redirected has its rules before any of its containers starts, or does not start;
// any other pod is none of the plugin's business, whatever is down. The plugin asks nobody: the container runtime passes a pod's
// annotations on, as containerd and CRI-O do. Under one that does not, pods of the mesh do not start, since their proxies look for the
// rules (podnet.Redirected).
package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containernetworking/cni/pkg/skel" // the protocol that container runtimes call plugins by
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/weft-mesh/weft/node/podnet"
)

// Name is the plugin's, and its file's.
const Name = "weft-cni"

// Redirect is the annotation by which a pod says what is redirected: a podnet.Spec in JSON. The injector writes it.
const Redirect = "weft.dev/redirect"

// annotations is the capability of a plugin that container runtimes pass the pod's annotations to.
const annotations = "io.kubernetes.cri.pod-annotations"

// Plugin answers the container runtime, of what is in the environment and on standard input, and writes to out.
func Plugin(program string, out io.Writer) *types.Error {
	fine := func(*skel.CmdArgs) error { return nil }
	return skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add:   func(a *skel.CmdArgs) error { return add(a, out) },
		Check: check,
		Del:   fine, // the rules go with the network that they are in
		GC:    fine, Status: fine,
	}, version.All, program)
}

// call is what the runtime says of one pod.
type call struct {
	Prev    json.RawMessage `json:"prevResult"`
	Runtime struct {
		Annotations map[string]string `json:"io.kubernetes.cri.pod-annotations"`
	} `json:"runtimeConfig"`
}

// add loads the rules of a pod that says which. What the plugins before have made goes on as it is.
func add(a *skel.CmdArgs, out io.Writer) error {
	c, s, err := read(a)
	if err != nil {
		return err
	}
	if len(c.Prev) == 0 {
		return types.NewError(types.ErrInvalidNetworkConfig, Name+" gives pods no network: it has to stand after a plugin that does", "")
	}
	if s != nil {
		if err := within(a.Netns, s.Apply); err != nil {
			return err
		}
	}
	_, err = out.Write(c.Prev)
	return err
}

func check(a *skel.CmdArgs) error {
	_, s, err := read(a)
	if err != nil || s == nil {
		return err
	}
	return within(a.Netns, s.Check)
}

// read returns what is redirected, or nothing where the pod is not in the mesh.
func read(a *skel.CmdArgs) (*call, *podnet.Spec, error) {
	c := &call{}
	if err := json.Unmarshal(a.StdinData, c); err != nil {
		return nil, nil, types.NewError(types.ErrDecodingFailure, err.Error(), "")
	}
	text, ok := c.Runtime.Annotations[Redirect]
	if !ok {
		return c, nil, nil
	}
	s, err := podnet.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("annotation %s: %w", Redirect, err)
	}
	return c, s, nil
}

// within does something to a pod's network.
func within(netns string, do func(int) error) error {
	f, err := os.Open(netns)
	if err != nil {
		return fmt.Errorf("the pod's network: %w", err)
	}
	return errors.Join(do(int(f.Fd())), f.Close())
}
