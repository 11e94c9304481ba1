package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/mesh"
)

// Found is what there is beside a gateway's objects that it has to do with.
type Found struct {
	Taken      []string // objects of their names that are somebody else's
	Joined, By []string // see Joins
	Failed     string   // why one of the gateway's objects cannot be as it is to be
	Begun      bool     // pods with the labels of By are there already, so that who selects by them does
}

// Look takes note of an object that is there in the place of one of the gateway's, whose owners these are. It returns its UID; empty: it is
// somebody else's.
func (f *Found) Look(there, of map[string]any, name string, owners []mesh.Owner) (uid string) {
	if uid = UID(there, owners); uid == "" {
		f.Taken = append(f.Taken, name)
		return ""
	}
	if KindOf(of).Kind == "Deployment" {
		was, is := podLabels(there), podLabels(of)
		f.Begun = !slices.ContainsFunc(f.By, func(key string) bool { return was[key] == nil || was[key] != is[key] })
	}
	return uid
}

// UID is that of an object that is the gateway's; empty: it is somebody else's, or not there.
func UID(o map[string]any, owners []mesh.Owner) string {
	meta, _ := o["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	refs, _ := meta["ownerReferences"].([]any)
	if labels[ManagedLabel] != Manager || !slices.ContainsFunc(refs, func(r any) bool {
		ref, _ := r.(map[string]any)
		return slices.ContainsFunc(owners, func(o mesh.Owner) bool { return o.UID != "" && ref["uid"] == o.UID })
	}) {
		return ""
	}
	uid, _ := meta["uid"].(string)
	return uid
}

// podLabels are those of a Deployment's pods.
func podLabels(o map[string]any) map[string]any {
	for _, key := range []string{"spec", "template", "metadata", "labels"} {
		o, _ = o[key].(map[string]any)
	}
	return o
}

// Refuses says why none of the gateway's objects is to be applied; empty: they are.
func (f *Found) Refuses() string {
	switch {
	case len(f.Taken) > 0:
		return strings.Join(f.Taken, ", ") + " is there and is not weft's, or is another gateway's, so that it is left as it is"
	case len(f.Joined) > 0 && !f.Begun:
		return f.joined()
	}
	return ""
}

func (f *Found) joined() string {
	return fmt.Sprintf("by the label %s a Service that is not the gateway's, %s, leads to its pods", strings.Join(f.By, ", "), strings.Join(f.Joined, ", "))
}

// Tells is what an object of the gateway's hears.
func (f *Found) Tells(owner decision.Ref) []mesh.Finding {
	found, field := mesh.Finding{Ref: owner, Field: mesh.FieldTaken, Level: mesh.Warning}, "spec.infrastructure.labels"
	if owner.Dialect == decision.Istio {
		field = "spec.selector"
	}
	const remedy = "use another label, or have that Service select by others"
	switch {
	case len(f.Taken) > 0:
		found.Text, found.Remedy = "no proxy of it is deployed: "+f.Refuses(), "give the gateway another name, or delete that"
	case f.Failed != "":
		found.Text = "its proxies are not deployed as it asks for: " + f.Failed
	case f.Refuses() != "":
		found.Text, found.Remedy = "its proxies are not deployed as it asks for: "+f.Refuses(), field+": "+remedy
	case len(f.Joined) > 0:
		found.Field, found.Level, found.Text, found.Remedy = field, mesh.Info, f.joined(), remedy
	default:
		return nil
	}
	return []mesh.Finding{found}
}
