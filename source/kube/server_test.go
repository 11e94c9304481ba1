package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// server is an API server without sockets, so that tests run in the time of testing/synctest. It knows as much of the API as weft asks
// for: discovery, lists by pages, watches that stream what there is first, preconditions, merge patches.
type server struct {
	mu       sync.Mutex
	kinds    []*stored
	revision int
	history  []change
	oldest   int // revision before which the history is forgotten
	watchers map[*watcher]bool

	// fail, if set, may answer a request in place of the server. verb is get, list, watch, create, update, patch or delete.
	fail func(verb, resource string, req *http.Request) error
	// review answers TokenReviews and SelfSubjectAccessReviews: it gets the object and completes it.
	review func(o map[string]any)
	// noStreams makes it one that does not know sendInitialEvents.
	noStreams bool
	// hidden is a resource that discovery does not tell of.
	hidden string

	requests []string
}

// stored is a kind that the server has.
type stored struct {
	group, kind, resource string
	versions              []string // the preferred one first
	cluster               bool
	objects               map[string]map[string]any // by NAMESPACE/NAME
}

type change struct {
	revision int
	verb     string // ADDED, MODIFIED, DELETED
	of       *stored
	object   map[string]any
	before   map[string]any
}

func newServer(kinds ...*stored) *server {
	s := &server{watchers: map[*watcher]bool{}}
	s.add(&stored{group: "apiextensions.k8s.io", kind: "CustomResourceDefinition", resource: "customresourcedefinitions", versions: []string{"v1"}, cluster: true})
	s.add(kinds...)
	return s
}

func (s *server) add(kinds ...*stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range kinds {
		k.objects = map[string]map[string]any{}
	}
	s.kinds = append(s.kinds, kinds...)
}

func (s *server) failing(fail func(verb, resource string, req *http.Request) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *server) hide(resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = resource
}

func (s *server) serve(resource string, versions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kinds {
		if k.resource == resource {
			k.versions = versions
		}
	}
}

func (s *server) remove(resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds = slices.DeleteFunc(s.kinds, func(k *stored) bool { return k.resource == resource })
	for w := range s.watchers {
		if w.of.resource == resource {
			w.end()
		}
	}
}

// cluster is a client of s.
func (s *server) cluster(t testing.TB) *Cluster {
	t.Helper()
	c, err := open(&rest.Config{Host: "http://cluster.test", Transport: s}, Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// put creates or replaces an object, as kubectl would. It is JSON.
func (s *server) put(text string) {
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(fmt.Sprintf("%v: %s", err, text))
	}
	s.store(o)
}

func (s *server) store(o map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &unstructured.Unstructured{Object: o}
	group, _, ok := strings.Cut(u.GetAPIVersion(), "/")
	if !ok {
		group = ""
	}
	i := slices.IndexFunc(s.kinds, func(k *stored) bool { return k.kind == u.GetKind() && k.group == group })
	if i < 0 {
		panic("no kind " + u.GetAPIVersion() + " " + u.GetKind())
	}
	s.write(s.kinds[i], o)
}

// delete deletes an object, or if it has just been deleted does nothing.
func (s *server) delete(resource, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kinds {
		if old := k.objects[key]; k.resource == resource && old != nil {
			delete(k.objects, key)
			s.revision++
			s.record(change{s.revision, "DELETED", k, versioned(old, s.revision), old})
		}
	}
}

// forget loses the history, as an API server does after some minutes, and ends all watches.
func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.history, s.oldest = nil, s.revision
	for w := range s.watchers {
		w.end()
	}
}

func (s *server) write(k *stored, o map[string]any) map[string]any {
	u := &unstructured.Unstructured{Object: o}
	key := u.GetNamespace() + "/" + u.GetName()
	old, verb := k.objects[key], "MODIFIED"
	if old == nil {
		verb = "ADDED"
	}
	if u.GetUID() == "" {
		u.SetUID(types.UID("uid-of-" + u.GetName()))
	}
	if meta, _ := o["metadata"].(map[string]any); meta["creationTimestamp"] == nil {
		meta["creationTimestamp"] = "2026-01-02T03:04:05Z"
	}
	s.revision++
	o = versioned(o, s.revision)
	k.objects[key] = o
	s.record(change{s.revision, verb, k, o, old})
	return o
}

func versioned(o map[string]any, revision int) map[string]any {
	c := (&unstructured.Unstructured{Object: o}).DeepCopy()
	c.SetResourceVersion(strconv.Itoa(revision))
	return c.Object
}

func (s *server) record(c change) {
	s.history = append(s.history, c)
	for w := range s.watchers {
		w.see(c)
	}
}

// watcher is one watch. Its events are written by a goroutine of their own.
type watcher struct {
	of      *stored
	version string
	choose  func(o map[string]any) bool
	mu      sync.Mutex
	queue   [][]byte
	ended   bool
	more    chan struct{}
}

func (w *watcher) see(c change) {
	if c.of != w.of {
		return
	}
	was, is := c.before != nil && w.choose(c.before), c.verb != "DELETED" && w.choose(c.object)
	switch {
	case is && was:
		w.say("MODIFIED", c.object)
	case is:
		w.say("ADDED", c.object)
	case was:
		w.say("DELETED", c.object)
	}
}

func (w *watcher) say(verb string, o map[string]any) {
	text, err := json.Marshal(map[string]any{"type": verb, "object": w.of.as(w.version, o)})
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, text)
	stir(w.more)
}

func (w *watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	stir(w.more)
}

// pump writes events until the watch ends.
func (w *watcher) pump(ctx context.Context, to *io.PipeWriter) {
	for {
		w.mu.Lock()
		queue, ended := w.queue, w.ended
		w.queue = nil
		w.mu.Unlock()
		for _, text := range queue {
			if _, err := to.Write(append(text, '\n')); err != nil {
				return
			}
		}
		if ended && len(queue) == 0 {
			to.Close()
			return
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			to.CloseWithError(ctx.Err())
			return
		}
	}
}

// as is an object in a version of the API.
func (k *stored) as(version string, o map[string]any) map[string]any {
	if version == partial {
		return map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": o["metadata"]}
	}
	c := maps.Clone(o)
	c["apiVersion"], c["kind"] = strings.TrimPrefix(k.group+"/"+version, "/"), k.kind
	return c
}

// partial is the version of objects of which a client asks for the metadata alone.
const partial = "PartialObjectMetadata"

// RoundTrip answers a request.
func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	out, err := s.answer(req, body)
	var status *metav1.Status
	switch e := err.(type) {
	case nil:
	case *refusal:
		status = &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Code: int32(e.code), Reason: e.reason, Message: e.text}
	default:
		return nil, err
	}
	if r, ok := out.(*http.Response); ok && status == nil {
		return r, nil
	}
	code := http.StatusOK
	if status != nil {
		code, out = int(status.Code), status
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return response(req, code, io.NopCloser(bytes.NewReader(text))), nil
}

func response(req *http.Request, code int, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Request: req, Body: body, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}}
}

// refusal is an error that the API server answers with; other errors are of the network.
type refusal struct {
	code   int
	reason metav1.StatusReason
	text   string
}

func (r *refusal) Error() string { return r.text }

func forbidden(verb, resource string) error {
	return &refusal{403, metav1.StatusReasonForbidden, fmt.Sprintf(`%s is forbidden: User "system:serviceaccount:weft-system:weft-control" cannot %s resource "%s" at the cluster scope`, resource, verb, resource)}
}

var errRefused = errors.New("dial tcp 10.96.0.1:443: connect: connection refused")

func (s *server) answer(req *http.Request, body []byte) (any, error) {
	path := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if out, err := s.discovery(path); out != nil || err != nil {
		if s.fail != nil {
			if err := s.fail("get", "discovery", req); err != nil {
				return nil, err
			}
		}
		return out, err
	}
	group, version, rest := "", path[1], path[2:]
	if path[0] == "apis" {
		group, version, rest = path[1], path[2], path[3:]
	}
	namespace := ""
	if rest[0] == "namespaces" && len(rest) > 2 {
		namespace, rest = rest[1], rest[2:]
	}
	r := &request{Request: req, body: body, namespace: namespace, version: version}
	resource := rest[0]
	if len(rest) > 1 {
		r.name = rest[1]
	}
	if len(rest) > 2 {
		r.sub = rest[2]
	}
	r.verb = verbOf(req, r.name)
	s.requests = append(s.requests, strings.TrimSpace(r.verb+" "+resource+" "+r.namespace+" "+r.name+" "+r.sub))
	if s.fail != nil {
		if err := s.fail(r.verb, resource, req); err != nil {
			return nil, err
		}
	}
	if resource == "tokenreviews" || resource == "selfsubjectaccessreviews" {
		var o map[string]any
		_ = json.Unmarshal(body, &o)
		s.review(o)
		return o, nil
	}
	i := slices.IndexFunc(s.kinds, func(k *stored) bool {
		return k.group == group && k.resource == resource && slices.Contains(k.versions, version)
	})
	if i < 0 {
		return nil, &refusal{404, metav1.StatusReasonNotFound, "the server could not find the requested resource"}
	}
	if strings.Contains(req.Header.Get("Accept"), "as="+partial) {
		r.version = partial
	}
	return s.do(s.kinds[i], r)
}

func verbOf(req *http.Request, name string) string {
	switch req.Method {
	case http.MethodGet:
		if req.URL.Query().Get("watch") != "" {
			return "watch"
		} else if name == "" {
			return "list"
		}
		return "get"
	}
	return map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[req.Method]
}

func (s *server) discovery(path []string) (any, error) {
	switch {
	case len(path) == 1 && path[0] == "version":
		return map[string]any{"gitVersion": "v1.36.3", "major": "1", "minor": "36"}, nil
	case len(path) == 1 && path[0] == "api":
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}, nil
	case len(path) == 1 && path[0] == "apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, k := range s.kinds {
			if k.group != "" && !slices.ContainsFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == k.group }) {
				list.Groups = append(list.Groups, s.group(k.group))
			}
		}
		return list, nil
	case len(path) == 2 && path[0] == "api":
		return s.resources("", path[1])
	case len(path) == 3 && path[0] == "apis":
		return s.resources(path[1], path[2])
	}
	return nil, nil
}

func (s *server) group(name string) metav1.APIGroup {
	g := metav1.APIGroup{Name: name}
	for _, k := range s.kinds {
		for _, v := range k.versions {
			if at := (metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v}); k.group == name && !slices.Contains(g.Versions, at) {
				g.Versions = append(g.Versions, at)
			}
		}
	}
	g.PreferredVersion = g.Versions[0]
	return g
}

func (s *server) resources(group, version string) (any, error) {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: strings.TrimPrefix(group+"/"+version, "/")}
	for _, k := range s.kinds {
		if k.group == group && slices.Contains(k.versions, version) && k.resource != s.hidden {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: k.resource, Kind: k.kind, Namespaced: !k.cluster,
				Verbs: metav1.Verbs{"get", "list", "watch", "create", "update", "patch", "delete"}}, metav1.APIResource{Name: k.resource + "/status", Kind: k.kind, Namespaced: !k.cluster})
		}
	}
	if len(list.APIResources) == 0 && group != "" && s.hidden == "" {
		return nil, &refusal{404, metav1.StatusReasonNotFound, "the server could not find the requested resource"}
	}
	return list, nil
}

type request struct {
	*http.Request
	verb, namespace, name, sub, version string
	body                                []byte
}

func (s *server) do(k *stored, r *request) (any, error) {
	key := r.namespace + "/" + r.name
	old := k.objects[key]
	if old == nil && (r.verb == "get" || r.verb == "update" || r.verb == "delete" || r.verb == "patch" && !isApply(r)) {
		return nil, &refusal{404, metav1.StatusReasonNotFound, fmt.Sprintf("%s %q not found", k.resource, r.name)}
	}
	switch r.verb {
	case "get":
		return k.as(r.version, old), nil
	case "list":
		return s.list(k, r)
	case "watch":
		return s.watch(k, r)
	case "delete":
		delete(k.objects, key)
		s.revision++
		s.record(change{s.revision, "DELETED", k, versioned(old, s.revision), old})
		return metav1.Status{Status: "Success"}, nil
	}
	var o map[string]any
	if err := json.Unmarshal(r.body, &o); err != nil {
		return nil, &refusal{400, metav1.StatusReasonBadRequest, err.Error()}
	}
	u := &unstructured.Unstructured{Object: o}
	if r.verb == "create" {
		u.SetNamespace(r.namespace)
		if k.objects[r.namespace+"/"+u.GetName()] != nil {
			return nil, &refusal{409, metav1.StatusReasonAlreadyExists, u.GetName() + " already exists"}
		}
	} else if rv := u.GetResourceVersion(); rv != "" && rv != (&unstructured.Unstructured{Object: old}).GetResourceVersion() {
		return nil, &refusal{409, metav1.StatusReasonConflict, "the object has been modified; please apply your changes to the latest version"}
	}
	switch {
	case r.verb == "patch":
		o = merged(old, o)
	case r.sub == "status":
		o = merged(old, map[string]any{"status": nil})
		o["status"] = u.Object["status"]
	}
	return k.as(r.version, s.write(k, o)), nil
}

func isApply(r *request) bool { return r.Header.Get("Content-Type") == "application/apply-patch+yaml" }

// merged is RFC 7386.
func merged(old, patch map[string]any) map[string]any {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]any{}
	}
	for key, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(out, key)
		case map[string]any:
			inner, _ := out[key].(map[string]any)
			out[key] = merged(inner, v)
		default:
			out[key] = v
		}
	}
	return out
}

func (s *server) choose(r *request) func(o map[string]any) bool {
	selector, _ := labels.Parse(r.URL.Query().Get("labelSelector"))
	field, err := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err != nil {
		panic(err)
	}
	return func(o map[string]any) bool {
		u := &unstructured.Unstructured{Object: o}
		if r.namespace != "" && u.GetNamespace() != r.namespace || !selector.Matches(labels.Set(u.GetLabels())) {
			return false
		}
		set := fields.Set{}
		for _, q := range field.Requirements() {
			set[q.Field], _, _ = unstructured.NestedString(o, strings.Split(q.Field, ".")...)
		}
		return field.Matches(set)
	}
}

func (s *server) list(k *stored, r *request) (any, error) {
	choose, items := s.choose(r), []any{}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	after := r.URL.Query().Get("continue")
	meta := map[string]any{"resourceVersion": strconv.Itoa(s.revision)}
	for _, key := range slices.Sorted(maps.Keys(k.objects)) {
		if key <= after || !choose(k.objects[key]) {
			continue
		}
		if limit > 0 && len(items) == limit {
			meta["continue"] = after
			break
		}
		after = key
		items = append(items, k.as(r.version, k.objects[key]))
	}
	out := k.as(r.version, map[string]any{"metadata": meta, "items": items})
	out["kind"], out["items"] = out["kind"].(string)+"List", items
	return out, nil
}

func (s *server) watch(k *stored, r *request) (any, error) {
	w := &watcher{of: k, version: r.version, choose: s.choose(r), more: make(chan struct{}, 1)}
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	switch {
	case r.URL.Query().Get("sendInitialEvents") == "true":
		if s.noStreams {
			return nil, &refusal{422, metav1.StatusReasonInvalid, "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"}
		}
		for _, key := range slices.Sorted(maps.Keys(k.objects)) {
			if w.choose(k.objects[key]) {
				w.say("ADDED", k.objects[key])
			}
		}
		w.say("BOOKMARK", map[string]any{"metadata": map[string]any{"resourceVersion": strconv.Itoa(s.revision),
			"annotations": map[string]any{"k8s.io/initial-events-end": "true"}}})
	case from < s.oldest:
		return nil, &refusal{410, metav1.StatusReasonExpired, "too old resource version"}
	default:
		for _, c := range s.history {
			if c.revision > from {
				w.see(c)
			}
		}
	}
	s.watchers[w] = true
	out, in := io.Pipe()
	go func() {
		w.pump(r.Context(), in)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}()
	return response(r.Request, http.StatusOK, out), nil
}
