package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// credentials is where the kubelet mounts those of a pod.
const credentials = "/var/run/secrets/kubernetes.io/serviceaccount"

// api asks the API server two questions: which container runtime the node has, and, as this process ends, whether it is to be there no more. A
// whole client would be most of its memory, on every node.
type api struct {
	base, token string
	client      *http.Client
}

func inCluster(env func(string) string) (*api, error) {
	host, port := env("KUBERNETES_SERVICE_HOST"), env("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is not set")
	}
	return open("https://"+net.JoinHostPort(host, port), credentials)
}

func open(base, dir string) (*api, error) {
	roots, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(dir, "ca.crt"))
	}
	return &api{base, strings.TrimSpace(string(token)),
		&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}}, nil
}

// get reads an object, if the status is 200.
func (a *api) get(ctx context.Context, path string, into any) (status int, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return 0, err
	}
	q.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.client.Do(q)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(into)
}

// unanswered says why an answer is none.
func unanswered(status int, may string) error {
	switch status {
	case http.StatusUnauthorized:
		return errors.New("the API server answers 401: it does not know who this is; is the ServiceAccount weft-node there?")
	case http.StatusForbidden:
		return fmt.Errorf("the API server answers 403: by RBAC the ServiceAccount weft-node may not get %s; weft install writes the role and its binding", may)
	}
	return fmt.Errorf("the API server answers %d", status)
}

// gone says whether a DaemonSet is deleted, or about to be. That its pods may not ask says nothing: it is for weft uninstall to leave them
// their role as long as they run.
func (a *api) gone(ctx context.Context, namespace, name string) (bool, error) {
	var o struct {
		Metadata struct {
			DeletionTimestamp string `json:"deletionTimestamp"`
		} `json:"metadata"`
	}
	status, err := a.get(ctx, "/apis/apps/v1/namespaces/"+namespace+"/daemonsets/"+name, &o)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusNotFound:
		return true, nil
	case status != http.StatusOK:
		return false, unanswered(status, "the DaemonSet "+namespace+"/"+name)
	}
	return o.Metadata.DeletionTimestamp != "", nil
}

// runtime names the node's container runtime: "containerd://2.1.0".
func (a *api) runtime(ctx context.Context, node string) (string, error) {
	var o struct {
		Status struct {
			NodeInfo struct {
				ContainerRuntimeVersion string `json:"containerRuntimeVersion"`
			} `json:"nodeInfo"`
		} `json:"status"`
	}
	status, err := a.get(ctx, "/api/v1/nodes/"+node, &o)
	if err == nil && status != http.StatusOK {
		err = unanswered(status, "the Node "+node)
	}
	return o.Status.NodeInfo.ContainerRuntimeVersion, err
}
