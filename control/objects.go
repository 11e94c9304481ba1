package control

import (
	"maps"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/dialect"
)

// runFile stands for a file in the positions of objects that weft run brought about.
const runFile = "weft run"

// pod is the object that says of a registration what a cluster's API server would say of a Pod: one reader serves both.
func pod(w *Workload) *dialect.Object {
	var ports []any
	for _, p := range w.Ports {
		ports = append(ports, map[string]any{"containerPort": int64(p.Number), "name": p.Name})
	}
	meta := map[string]any{"name": w.Name, "namespace": w.Namespace, "labels": tree(labels(w)),
		"annotations": map[string]any{"weft.dev/tunnel": w.Tunnel().String()}}
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

// service is the object that a registration stands for where no file declares its service.
func service(w *Workload) *dialect.Object {
	var ports []any
	for _, p := range w.Ports {
		port := map[string]any{"port": int64(p.Number), "targetPort": int64(p.Number)}
		if len(w.Ports) > 1 || p.Name != "" {
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
		o.Annotations = map[string]string{"weft.dev/tunnel": w.Tunnel().String()}
	}
	return o
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
