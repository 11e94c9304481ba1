package control

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/dialect"
)

// runFile stands for a file in the positions of objects that weft run brought about.
const runFile = "weft run"

// pod is the object that says of a registration what a cluster's API server would say of a Pod: one reader serves both.
func pod(w *Workload) *dialect.Object {
	var ports []any
	for _, p := range w.Ports {
		ports = append(ports, map[string]any{"containerPort": int64(p.Number), "name": portName(p)})
	}
	meta := map[string]any{"name": w.Name, "namespace": w.Namespace, "labels": tree(labels(w)),
		"annotations": tree(annotations(w))}
	if w.Draining {
		meta["deletionTimestamp"] = w.Since.UTC().Format(time.RFC3339)
	}
	return object("Pod", w, w.Name, meta, map[string]any{
		"spec": map[string]any{"serviceAccountName": w.Account,
			"containers": []any{map[string]any{"name": w.Service, "ports": ports}}},
		"status": map[string]any{"phase": "Running", "podIP": w.Address.String(),
			"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
	})
}

// service is the object that the workloads of a service stand for where no file declares it: it has all of their ports, each of
// which leads to those that have it. Of a port that two describe in different ways, the word of the older one counts.
func service(all []*Workload) *dialect.Object {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *Workload) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Name, b.Name)) })
	w, listed, has := all[0], []Port(nil), map[uint16]int{}
	for _, x := range all {
		for _, p := range x.Ports {
			if has[p.Number]++; has[p.Number] == 1 {
				listed = append(listed, p)
			}
		}
	}
	var ports []any
	for _, p := range listed {
		port := map[string]any{"port": int64(p.Number), "targetPort": int64(p.Number)}
		if has[p.Number] < len(all) {
			port["targetPort"] = portName(p)
		}
		if len(listed) > 1 || p.Name != "" {
			port["name"] = portName(p)
		}
		if p.Protocol != "" {
			port["appProtocol"] = p.Protocol
		}
		ports = append(ports, port)
	}
	return object("Service", w, w.Service, map[string]any{"name": w.Service, "namespace": w.Namespace},
		map[string]any{"spec": map[string]any{"selector": map[string]any{"app": w.Service}, "ports": ports}})
}

func portName(p Port) string {
	if p.Name != "" {
		return p.Name
	}
	return "port-" + strconv.Itoa(int(p.Number))
}

func object(kind string, w *Workload, name string, meta, rest map[string]any) *dialect.Object {
	o := &dialect.Object{Version: "v1", Kind: kind, Namespace: w.Namespace, Name: name, Created: w.Since,
		Source: dialect.Position{File: runFile}, Tree: map[string]any{"apiVersion": "v1", "kind": kind, "metadata": meta}}
	maps.Copy(o.Tree, rest)
	if kind == "Pod" {
		o.Labels = labels(w)
		o.Annotations = annotations(w)
	}
	return o
}

// annotations say of a workload what a Pod has no field for.
func annotations(w *Workload) map[string]string {
	out := map[string]string{dialect.Tunnel: w.Tunnel().String()}
	if len(w.Trusted) > 0 {
		var list []string
		for _, p := range w.Trusted {
			list = append(list, p.String())
		}
		out[dialect.TrustedProxies] = strings.Join(list, ",")
	}
	return out
}

// labels of a workload: app and version by their conventional names, and those that it was given.
func labels(w *Workload) map[string]string {
	out := map[string]string{"app": w.Service}
	if w.Version != "" {
		out["version"] = w.Version
	}
	maps.Copy(out, w.Labels)
	return out
}

func tree(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}
