package dialect

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/mesh"
)

var metadata = schema.Of(reflect.TypeFor[metav1.ObjectMeta]())

// metadata checks an object's name, namespace, labels and annotations.
func (c *checker) metadata(o *Object) {
	at := (*place)(nil).child("metadata")
	tree := o.Tree["metadata"]
	if text, remedy := mismatch(metadata, tree); text != "" {
		c.add(mesh.Error, at, text, remedy)
		return
	}
	meta, _ := tree.(map[string]any)
	shape := checker{kind: &Kind{Schema: &schema.Schema{Type: schema.ObjectType, Fields: map[string]*schema.Schema{"metadata": metadata}}}, ref: c.ref}
	shape.object(at, metadata, nil, meta, said{known: true})
	if c.found = append(c.found, shape.found...); anyError(shape.found) {
		return
	}
	c.name(at, o, meta)
	c.namespace(at, o, meta)
	if c.kind.Lower != nil {
		c.annotations(at, o)
	}
	for _, key := range slices.Sorted(maps.Keys(o.Labels)) {
		c.invalid(at.child("labels").child(key), append(validation.IsQualifiedName(key), validation.IsValidLabelValue(o.Labels[key])...))
	}
}

func (c *checker) name(at *place, o *Object, meta map[string]any) {
	switch {
	case o.Name == "" && meta["generateName"] != nil:
		c.add(mesh.Error, at.child("name"), "required, and not there: nobody makes a name of generateName here", "write a name")
	case o.Name == "":
		c.add(mesh.Error, at.child("name"), "required, and not there", "")
	case c.kind.CheckName != nil:
		c.invalid(at.child("name"), c.kind.CheckName(o.Name))
	default:
		c.invalid(at.child("name"), validation.IsDNS1123Subdomain(o.Name))
	}
}

func (c *checker) namespace(at *place, o *Object, meta map[string]any) {
	switch written, _ := meta["namespace"].(string); {
	case c.kind.Cluster && written != "":
		c.add(mesh.Warning, at.child("namespace"), "a "+c.kind.Name+" is of the whole cluster and has no namespace", "remove it")
	case !c.kind.Cluster && o.Namespace == "":
		c.add(mesh.Error, at.child("namespace"), "required, and not there", "")
	case !c.kind.Cluster:
		c.invalid(at.child("namespace"), validation.IsDNS1123Label(o.Namespace))
	}
}

func (c *checker) invalid(at *place, why []string) {
	if len(why) > 0 {
		c.add(mesh.Error, at, strings.Join(why, "; "), "")
	}
}
