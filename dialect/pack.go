package dialect

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"
)

// Pack returns o with its tree as text, which takes a sixth of the memory: for kinds of which a cluster has many thousands, and whose
// readers decode them as a whole. What the object's own fields say is not written again. o comes from an API server, and so has all
// of apiVersion, kind, name and creationTimestamp; if it can't be packed it stays as it is.
func (o *Object) Pack() *Object {
	tree := maps.Clone(o.Tree)
	delete(tree, "apiVersion")
	delete(tree, "kind")
	if meta, ok := tree["metadata"].(map[string]any); ok {
		meta = maps.Clone(meta)
		for _, key := range []string{"name", "namespace", "creationTimestamp"} {
			delete(meta, key)
		}
		tree["metadata"] = meta
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return o
	}
	short := string(text)
	if stem := o.stem(); stem != "" {
		short = strings.ReplaceAll(short, stem, stemMark)
	}
	packed := *o
	packed.Tree, packed.Packed = nil, abridge.Replace(short)
	return &packed
}

// stemMark stands for an object's stem. It is none of marks.
const stemMark = "\xfc"

// leastStem is how long a stem is at least: shorter ones are in what often has, and would keep that from being found.
const leastStem = 8

// stem is what an object is named after, less what was put behind that name for it to be the only one: a pod of a ReplicaSet says it again as its
// account, and a slice of a service for each of its pods. A byte stands for it. Empty: there is none.
func (o *Object) stem() string {
	stem := o.Name[:max(strings.LastIndexByte(o.Name, '-'), 0)]
	if before := strings.LastIndexByte(stem, '-'); before > 0 && o.Kind == "Pod" {
		stem = stem[:before]
	}
	if len(stem) < leastStem {
		return ""
	}
	return stem
}

// often is in the text of many objects: a byte stands for each that no JSON has.
var often = []string{
	`{"metadata":{"generation":1,"uid":"`, `{"metadata":{"uid":"`, `"},"spec":{"containers":[{"ports":[{"containerPort":`, `,"protocol":"TCP"}`, `,"name":"`, `]}],"nodeName":"`,
	`","serviceAccountName":"`, `"},"status":{"conditions":[{"status":"True","type":"Ready"}],"phase":"Running","podIP":"`,
	`"},"status":{"conditions":[{"status":"False","type":"Ready"}],"phase":"Running","podIP":"`,
	`{"addressType":"IPv4","endpoints":[{"addresses":["`, `"],"conditions":{"ready":true,"serving":true,"terminating":false},"targetRef":{"kind":"Pod","name":"`,
	`"}},{"addresses":["`, `"}}],"metadata":{"`, `"],"conditions":{"ready":`, `"targetRef":{"kind":"Pod","name":"`, `"ports":[{"`, `"appProtocol":"`, `"targetPort":`,
	`"spec":{"clusterIP":"`, `"clusterIPs":["`, `"selector":{"`, `"type":"ClusterIP"`, `"generation":`, `"uid":"`,
	`"},"zone":"`, `"},{"addresses":["`, `"}],"metadata":{"generation":`, `"],"conditions":{"ready":false,"serving":false,"terminating":false},"targetRef":{"kind":"Pod","name":"`,
	`"internalTrafficPolicy":"Cluster","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack",`, `,"protocol":"TCP","targetPort":`, `","port":`,
	`},"sessionAffinity":"None","type":"ClusterIP"},"status":{"loadBalancer":{}}}`,
}

// marks are the control characters, but for those that a text file may have, and bytes that are not of UTF-8.
const marks = "\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\xf8\xf9\xfa\xfb"

var abridge, amplify = abridging()

func abridging() (to, from *strings.Replacer) {
	var there, back []string
	for i, s := range often {
		there, back = append(there, s, marks[i:i+1]), append(back, marks[i:i+1], s)
	}
	return strings.NewReplacer(there...), strings.NewReplacer(back...)
}

// text is the packed text in full.
func (o *Object) text() []byte {
	return []byte(strings.ReplaceAll(amplify.Replace(o.Packed), stemMark, o.stem())) // without a stem there is no mark
}

// Whole returns the tree, of a packed object a fresh one.
func (o *Object) Whole() map[string]any {
	if o.Tree != nil || o.Packed == "" {
		return o.Tree
	}
	var tree map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(o.text(), &tree); err != nil {
		return nil // Pack wrote it: there is no such text
	}
	tree["apiVersion"], tree["kind"] = strings.TrimPrefix(o.Group+"/"+o.Version, "/"), o.Kind
	meta, ok := tree["metadata"].(map[string]any)
	if !ok {
		return tree
	}
	if meta["name"] = o.Name; o.Namespace != "" {
		meta["namespace"] = o.Namespace
	}
	meta["creationTimestamp"] = o.Created.UTC().Format(time.RFC3339)
	return tree
}

// unpacked is o with its tree, as readers expect it.
func (o *Object) unpacked() *Object {
	if o.Tree != nil || o.Packed == "" {
		return o
	}
	whole := *o
	whole.Tree = o.Whole()
	return &whole
}

// Same says whether two versions of an object say the same, wherever they stand.
func (o *Object) Same(other *Object) bool {
	return o.Version == other.Version && o.Created.Equal(other.Created) && maps.Equal(o.Labels, other.Labels) &&
		maps.Equal(o.Annotations, other.Annotations) && o.sameTree(other)
}

func (o *Object) sameTree(other *Object) bool {
	if o.Packed != "" && other.Packed != "" {
		return o.Packed == other.Packed // Pack sorts keys
	}
	return reflect.DeepEqual(o.Whole(), other.Whole())
}
