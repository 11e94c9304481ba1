package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// apiServer answers over HTTP what a control plane asks an API server for: which kinds there are, a list that comes as a watch, changes,
// TokenReviews, and what a leader writes. Pods and EndpointSlices come in protobuf where that is asked for, as from a real one.
type apiServer struct {
	objects *objects
	kinds   []*served

	mu       sync.Mutex
	revision int
	watchers map[*watcher]bool
	written  map[string]map[string]any // by path: what nobody watches
}

// served is a kind of which there are objects from the start. protobuf: they come so, if it is asked for.
type served struct {
	group, version, kind, resource string
	cluster, protobuf              bool
	count                          int
	at                             func(i, revision int) any
}

func (k *served) apiVersion() string { return strings.TrimPrefix(k.group+"/"+k.version, "/") }

// plain are kinds without objects at the start, that are written or asked for.
var plain = []served{{group: "apiextensions.k8s.io", version: "v1", kind: "CustomResourceDefinition", resource: "customresourcedefinitions", cluster: true},
	{version: "v1", kind: "Secret", resource: "secrets"}, {version: "v1", kind: "ConfigMap", resource: "configmaps"},
	{group: "coordination.k8s.io", version: "v1", kind: "Lease", resource: "leases"},
	{group: "admissionregistration.k8s.io", version: "v1", kind: "MutatingWebhookConfiguration", resource: "mutatingwebhookconfigurations", cluster: true},
	{group: "authentication.k8s.io", version: "v1", kind: "TokenReview", resource: "tokenreviews", cluster: true}}

func newAPIServer(c *objects) *apiServer {
	s := &apiServer{objects: c, revision: 1, watchers: map[*watcher]bool{}, written: map[string]map[string]any{}}
	s.kinds = []*served{
		{version: "v1", kind: "Namespace", resource: "namespaces", cluster: true, protobuf: true, count: c.spaces(), at: func(i, r int) any { return c.namespaceAt(i, r) }},
		{version: "v1", kind: "Node", resource: "nodes", cluster: true, protobuf: true, count: c.nodes(), at: func(i, r int) any { return c.nodeAt(i, r) }},
		{version: "v1", kind: "ServiceAccount", resource: "serviceaccounts", protobuf: true, count: c.Services, at: func(i, r int) any { return c.accountAt(i, r) }},
		{version: "v1", kind: "Service", resource: "services", protobuf: true, count: c.Services, at: func(i, r int) any { return c.serviceAt(i, r) }},
		{version: "v1", kind: "Pod", resource: "pods", protobuf: true, count: c.Pods, at: func(i, r int) any { return c.podAt(i, r) }},
		{group: "discovery.k8s.io", version: "v1", kind: "EndpointSlice", resource: "endpointslices", protobuf: true, count: c.Services,
			at: func(i, r int) any { return c.sliceAt(i, r) }},
	}
	for i := range plain {
		s.kinds = append(s.kinds, &plain[i])
	}
	return s
}

// ServeHTTP answers one request.
func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if out := s.discovery(path); out != nil {
		answer(w, http.StatusOK, out)
		return
	}
	k, namespace, name := s.named(path)
	switch {
	case k == nil:
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	case r.Method == http.MethodGet && name == "" && r.URL.Query().Get("watch") != "":
		s.watch(w, r, k)
	case r.Method == http.MethodGet && name == "" && k.count == 0:
		answer(w, http.StatusOK, map[string]any{"apiVersion": k.apiVersion(), "kind": k.kind + "List", "metadata": map[string]any{"resourceVersion": "1"}, "items": []any{}})
	case r.Method == http.MethodGet && name == "":
		refuse(w, http.StatusInternalServerError, metav1.StatusReasonInternalError) // a first list comes as a watch
	case k.kind == "TokenReview":
		review(w, r)
	default:
		s.write(w, r, k, namespace, name)
	}
}

func (s *apiServer) discovery(path []string) any {
	list := func(group, version string) any {
		out := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: strings.TrimPrefix(group+"/"+version, "/")}
		for _, k := range s.kinds {
			if k.group == group && k.version == version {
				out.APIResources = append(out.APIResources, metav1.APIResource{Name: k.resource, Kind: k.kind, Namespaced: !k.cluster,
					Verbs: metav1.Verbs{"get", "list", "watch", "create", "update", "patch", "delete"}})
			}
		}
		return out
	}
	switch {
	case len(path) == 1 && path[0] == "version":
		return map[string]any{"gitVersion": "v1.36.3", "major": "1", "minor": "36"}
	case len(path) == 1 && path[0] == "api":
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	case len(path) == 1 && path[0] == "apis":
		out := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, k := range s.kinds {
			if at := (metav1.GroupVersionForDiscovery{GroupVersion: k.apiVersion(), Version: k.version}); k.group != "" {
				out.Groups = append(out.Groups, metav1.APIGroup{Name: k.group, Versions: []metav1.GroupVersionForDiscovery{at}, PreferredVersion: at})
			}
		}
		return out
	case len(path) == 2 && path[0] == "api":
		return list("", path[1])
	case len(path) == 3 && path[0] == "apis":
		return list(path[1], path[2])
	}
	return nil
}

// named takes a path apart; nil: there is no such kind.
func (s *apiServer) named(path []string) (k *served, namespace, name string) {
	group, rest := "", path
	switch {
	case len(path) > 2 && path[0] == "api":
		rest = path[2:]
	case len(path) > 3 && path[0] == "apis":
		group, rest = path[1], path[3:]
	}
	if rest[0] == "namespaces" && len(rest) > 2 {
		namespace, rest = rest[1], rest[2:]
	}
	if len(rest) > 1 {
		name = rest[1]
	}
	for _, k := range s.kinds {
		if k.group == group && k.resource == rest[0] {
			return k, namespace, name
		}
	}
	return nil, "", ""
}

func answer(w http.ResponseWriter, code int, out any) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(out) // who asked may be gone
}

func refuse(w http.ResponseWriter, code int, why metav1.StatusReason) {
	answer(w, code, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: why, Message: string(why)})
}

// tokenOf is the token of a pod: what there is to say of it.
func tokenOf(namespace, account, pod, uid string) string {
	return strings.Join([]string{"token", namespace, account, pod, uid}, "|")
}

func review(w http.ResponseWriter, r *http.Request) {
	var o map[string]any
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest)
		return
	}
	spec, _ := o["spec"].(map[string]any)
	token, _ := spec["token"].(string)
	status := map[string]any{"authenticated": false}
	if part := strings.Split(token, "|"); len(part) == 5 {
		status = map[string]any{"authenticated": true, "audiences": spec["audiences"], "user": map[string]any{"username": "system:serviceaccount:" + part[1] + ":" + part[2],
			"extra": map[string]any{"authentication.kubernetes.io/pod-name": []string{part[3]}, "authentication.kubernetes.io/pod-uid": []string{part[4]}}}}
	}
	o["status"] = status
	answer(w, http.StatusCreated, o)
}

// write keeps what a control plane writes: its authority, lease and roots.
func (s *apiServer) write(w http.ResponseWriter, r *http.Request, k *served, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var o map[string]any
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest)
			return
		}
	}
	if meta, _ := o["metadata"].(map[string]any); r.Method == http.MethodPost {
		name, _ = meta["name"].(string)
	}
	at := k.resource + "/" + namespace + "/" + name
	old := s.written[at]
	switch {
	case r.Method == http.MethodGet && old != nil:
		answer(w, http.StatusOK, old)
		return
	case old == nil && r.Method != http.MethodPost && r.Method != http.MethodPatch:
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound)
		return
	case r.Method == http.MethodPost && old != nil:
		refuse(w, http.StatusConflict, metav1.StatusReasonAlreadyExists)
		return
	}
	s.revision++
	now := map[string]any{"apiVersion": k.apiVersion(), "kind": k.kind}
	maps.Copy(now, old)
	maps.Copy(now, o)
	now["metadata"] = map[string]any{"name": name, "namespace": namespace, "uid": "u", "resourceVersion": fmt.Sprint(s.revision)}
	s.written[at] = now
	answer(w, http.StatusOK, now)
}

// roots are the authority's, as the leader has published them for a namespace; nil: not yet.
func (s *apiServer) roots(namespace string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, _ := s.written["configmaps/"+namespace+"/weft-root"]["data"].(map[string]any)
	pem, _ := data["root.pem"].(string)
	return []byte(pem)
}

// watcher is one watch.
type watcher struct {
	kind     *served
	protobuf bool
	frames   chan []byte
}

// frame is an event as it is sent.
func (w *watcher) frame(verb string, o any) ([]byte, error) {
	if !w.protobuf {
		text, err := json.Marshal(map[string]any{"type": verb, "object": o})
		return append(text, '\n'), err
	}
	raw, err := o.(interface{ Marshal() ([]byte, error) }).Marshal()
	if err != nil {
		return nil, err
	}
	typed := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: w.kind.apiVersion(), Kind: w.kind.kind}, Raw: raw}
	if raw, err = typed.Marshal(); err != nil {
		return nil, err
	}
	event := metav1.WatchEvent{Type: verb, Object: runtime.RawExtension{Raw: append([]byte("k8s\x00"), raw...)}}
	if raw, err = event.Marshal(); err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...), nil
}

// watch sends what there is, and then what changes.
func (s *apiServer) watch(rw http.ResponseWriter, r *http.Request, k *served) {
	w := &watcher{kind: k, protobuf: k.protobuf && strings.Contains(r.Header.Get("Accept"), "protobuf"), frames: make(chan []byte, 4096)}
	kind := "application/json"
	if w.protobuf {
		kind = "application/vnd.kubernetes.protobuf;stream=watch"
	}
	rw.Header().Set("content-type", kind)
	rw.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(rw, 64<<10)
	s.mu.Lock()
	s.watchers[w] = true
	from := s.revision
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}()
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		if err := s.initial(w, out, from, strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata")); err != nil {
			return
		}
	}
	for {
		if out.Flush() != nil {
			return
		}
		rw.(http.Flusher).Flush()
		select {
		case b := <-w.frames:
			_, _ = out.Write(b) // Flush says it
			for n := len(w.frames); n > 0; n-- {
				_, _ = out.Write(<-w.frames)
			}
		case <-r.Context().Done():
			return
		}
	}
}

// initial sends all objects, and that these are all.
func (s *apiServer) initial(w *watcher, out io.Writer, revision int, partial bool) error {
	for i := range w.kind.count {
		b, err := w.frame("ADDED", w.kind.at(i, revision))
		if err == nil {
			_, err = out.Write(b)
		}
		if err != nil {
			return err
		}
	}
	about := metav1.ObjectMeta{ResourceVersion: fmt.Sprint(revision), Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}
	var last any = map[string]any{"apiVersion": w.kind.apiVersion(), "kind": w.kind.kind, "metadata": about}
	switch {
	case partial:
		last = metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"}, ObjectMeta: about}
	case w.protobuf:
		last = &metav1.PartialObjectMetadata{ObjectMeta: about} // the metadata is the first field of every kind
	}
	b, err := w.frame("BOOKMARK", last)
	if err == nil {
		_, err = out.Write(b)
	}
	return err
}

// changed tells whoever watches of a changed object.
func (s *apiServer) changed(resource string, i int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	for w := range s.watchers {
		if w.kind.resource != resource {
			continue
		}
		b, err := w.frame("MODIFIED", w.kind.at(i, s.revision))
		if err != nil {
			return err
		}
		w.frames <- b
	}
	return nil
}
