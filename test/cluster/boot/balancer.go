package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// service is what is read of a Service.
type service struct {
	Metadata struct{ Namespace, Name string }
	Spec     struct{ Type, LoadBalancerIP string }
	Status   struct {
		LoadBalancer struct{ Ingress []struct{ IP string } }
	}
}

func (s *service) key() string { return s.Metadata.Namespace + "/" + s.Metadata.Name }

// addresses are who has which of the balanced ones.
type addresses map[string]string

// next says which address a Service gets; empty: none, since it has one, or wants none, or one that is not to be had. One that it asks
// for it gets if that is free.
func (a addresses) next(s *service) string {
	if s.Spec.Type != "LoadBalancer" {
		a.free(s.key())
		return ""
	}
	if in := s.Status.LoadBalancer.Ingress; len(in) > 0 {
		a[in[0].IP] = s.key()
		return ""
	}
	a.free(s.key())
	for n := 1; n < 255; n++ {
		ip := fmt.Sprint(cluster.Balanced, n)
		if want := s.Spec.LoadBalancerIP; a[ip] == "" && (want == "" || want == ip) {
			a[ip] = s.key()
			return ip
		}
	}
	return ""
}

func (a addresses) free(key string) {
	for ip, by := range a {
		if by == key {
			delete(a, ip)
		}
	}
}

// startBalancer is what a cloud does for a cluster: it gives Services of type LoadBalancer their addresses. kube-proxy does the rest.
func (k *keeper) startBalancer(ctx context.Context) error {
	api, err := newAPI()
	if err != nil {
		return err
	}
	go func() {
		for ctx.Err() == nil {
			if err := api.balance(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(k.log, "balancer:", err)
				time.Sleep(time.Second)
			}
		}
	}()
	return nil
}

// balance watches all Services, from the start each time, until the API server ends that.
func (a *api) balance(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, apiServer+"/api/v1/services?watch=true&timeoutSeconds=300", nil)
	if err != nil {
		return err
	}
	resp, err := a.stream.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("watching services: %s", resp.Status)
	}
	taken := addresses{}
	for events := json.NewDecoder(resp.Body); ; {
		var e struct {
			Type   string
			Object service
		}
		if err := events.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if e.Type == "DELETED" {
			taken.free(e.Object.key())
		} else if ip := taken.next(&e.Object); ip != "" {
			if err := a.assign(ctx, &e.Object, ip); err != nil {
				return err
			}
		}
	}
}

func (a *api) assign(ctx context.Context, s *service, ip string) error {
	path := "/api/v1/namespaces/" + s.Metadata.Namespace + "/services/" + s.Metadata.Name + "/status"
	patch := fmt.Sprintf(`{"status": {"loadBalancer": {"ingress": [{"ip": %q}]}}}`, ip)
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, apiServer+path, strings.NewReader(patch))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/merge-patch+json")
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		return fmt.Errorf("%s: %s %v: %.300s", path, resp.Status, err, bytes.TrimSpace(b))
	}
	return nil
}
