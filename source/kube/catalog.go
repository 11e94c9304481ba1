package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// resource is where the API server keeps the objects of one kind, in one version.
type resource struct {
	schema.GroupVersionResource
	namespaced bool
	watched    bool // it can be listed and watched
}

// served is what an API server has: of each kind its resources, the version first that the server prefers.
type served struct {
	kinds  map[schema.GroupKind][]resource
	silent map[string]error // groups of which the server could not say what they hold
}

// best is the first of some versions that is served.
func (s *served) best(gk schema.GroupKind, versions []string) (resource, bool) {
	for _, v := range versions {
		for _, r := range s.kinds[gk] {
			if r.Version == v && r.watched {
				return r, true
			}
		}
	}
	return resource{}, false
}

// versions of a kind that are served.
func (s *served) versions(gk schema.GroupKind) (out []string) {
	for _, r := range s.kinds[gk] {
		out = append(out, r.Version)
	}
	return out
}

// catalog remembers what the API server has.
type catalog struct {
	config *rest.Config
	http   *http.Client

	mu   sync.Mutex
	last *served
}

// lookTime bounds the requests that ask for all kinds.
const lookTime = 30 * time.Second

// within is a client for discovery whose requests end with ctx: the library knows no contexts there.
func (c *catalog) within(ctx context.Context) (*discovery.DiscoveryClient, error) {
	bound := *c.http
	bound.Transport = bounded{ctx, c.http.Transport}
	return discovery.NewDiscoveryClientForConfigAndClient(c.config, &bound)
}

// bounded gives all requests one context.
type bounded struct {
	ctx context.Context
	http.RoundTripper
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	return b.RoundTripper.RoundTrip(req.WithContext(b.ctx))
}

// look asks the API server. What it returns stays as it is.
func (c *catalog) look(ctx context.Context) (*served, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	lister, err := c.within(ctx)
	if err != nil {
		return nil, err
	}
	groups, lists, err := lister.ServerGroupsAndResources()
	s := &served{kinds: map[schema.GroupKind][]resource{}, silent: map[string]error{}}
	var failed *discovery.ErrGroupDiscoveryFailed
	switch {
	case errors.As(err, &failed):
		for gv, why := range failed.Groups {
			s.silent[gv.Group] = why
		}
	case err != nil:
		return nil, err
	}
	for _, list := range lists {
		s.add(list)
	}
	s.prefer(groups)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = s
	return s, nil
}

func (s *served) add(list *metav1.APIResourceList) {
	gv, err := schema.ParseGroupVersion(list.GroupVersion)
	if err != nil {
		return
	}
	for _, r := range list.APIResources {
		if strings.Contains(r.Name, "/") {
			continue // a part of one, as pods/log
		}
		at := resource{GroupVersionResource: gv.WithResource(r.Name), namespaced: r.Namespaced,
			watched: slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch")}
		gk := schema.GroupKind{Group: gv.Group, Kind: r.Kind}
		s.kinds[gk] = append(s.kinds[gk], at)
	}
}

// prefer puts the version that each group prefers first.
func (s *served) prefer(groups []*metav1.APIGroup) {
	for _, g := range groups {
		for gk, list := range s.kinds {
			if gk.Group != g.Name {
				continue
			}
			if i := slices.IndexFunc(list, func(r resource) bool { return r.Version == g.PreferredVersion.Version }); i > 0 {
				first := list[i]
				copy(list[1:], list[:i])
				list[0] = first
			}
		}
	}
}

// find returns where the objects of a kind are, in a version, or in the preferred one if version is empty. It asks the API server
// anew where that is not known yet.
func (c *catalog) find(ctx context.Context, gk schema.GroupKind, version string) (resource, error) {
	c.mu.Lock()
	s := c.last
	c.mu.Unlock()
	if r, ok := s.at(gk, version); ok {
		return r, nil
	}
	s, err := c.look(ctx)
	if err != nil {
		return resource{}, err
	}
	if r, ok := s.at(gk, version); ok {
		return r, nil
	}
	if err := s.silent[gk.Group]; err != nil {
		return resource{}, fmt.Errorf("the API server can't say what the group %s holds: %w", gk.Group, err)
	}
	what := gk.String()
	if version != "" {
		what = gk.Kind + " of " + schema.GroupVersion{Group: gk.Group, Version: version}.String()
	}
	return resource{}, fmt.Errorf("the API server has no kind %s; is its CustomResourceDefinition installed?: %w", what, ErrAbsent)
}

func (s *served) at(gk schema.GroupKind, version string) (resource, bool) {
	if s == nil {
		return resource{}, false
	}
	for _, r := range s.kinds[gk] {
		if version == "" || r.Version == version {
			return r, true
		}
	}
	return resource{}, false
}

// Serves returns the versions in which the API server has a kind, the preferred one first; none: it does not know it.
func (c *Cluster) Serves(ctx context.Context, group, kind string) ([]string, error) {
	s, err := c.catalog.look(ctx)
	if err != nil {
		return nil, c.explain("asking for the kinds that there are", err)
	}
	if err := s.silent[group]; err != nil {
		return nil, c.explain("asking for the kinds of "+group, err)
	}
	return s.versions(schema.GroupKind{Group: group, Kind: kind}), nil
}
