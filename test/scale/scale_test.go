package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/kube"
)

// The API server of the benchmark is read as any other: all of its objects, without findings, and what changes.
func TestClusterIsRead(t *testing.T) {
	c, err := newObjects(shape{20, 3, 70}, "../../source/kube/testdata/pod.json")
	if err != nil {
		t.Fatal(err)
	}
	api := newAPIServer(c)
	server := httptest.NewServer(api)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, fmt.Appendf(nil, kubeconfig, strings.TrimPrefix(server.URL, "http://")), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster, err := kube.Open(kube.Options{Kubeconfig: file})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	set, events := dialect.NewSet(all.Kinds("cluster.local")), make(chan source.Event)
	ended := make(chan error, 1)
	go func() {
		ended <- cluster.Source(all.Kinds("cluster.local")).Run(ctx, func(e source.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		})
	}()
	take := func() (e source.Event) {
		t.Helper()
		select {
		case e = <-events:
			set.Apply(e.Put, e.Delete)
		case <-ctx.Done():
			t.Fatal("nothing is told")
		}
		return e
	}
	for !take().Synced {
	}
	if n := len(set.All()); n != c.spaces()+c.nodes()+3*20+70 {
		t.Errorf("%d objects", n)
	}
	if found := set.Findings(); len(found) > 0 {
		t.Errorf("%v", found)
	}
	c.unready[4] = true
	if err := api.changed("endpointslices", 1); err != nil {
		t.Fatal(err)
	}
	if e := take(); len(e.Put) != 1 || e.Put[0].Kind != "EndpointSlice" {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
