package schema_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weft-mesh/weft/dialect/schema"
)

type embedded struct {
	Shared string `json:"shared"`
}

type inlined struct {
	Flat bool `json:"flat"`
}

type shape struct {
	embedded `json:""`
	Inline   inlined            `json:",inline"`
	Named    *inlined           `json:"named,omitempty"`
	Self     *shape             `json:"self,omitempty"`
	List     []shape            `json:"list"`
	Map      map[string]inlined `json:"map"`
	Bytes    []byte             `json:"bytes"`
	Time     metav1.Time        `json:"time"`
	Plain    time.Time          `json:"plain"`
	Duration metav1.Duration    `json:"duration"`
	Port     intstr.IntOrString `json:"port"`
	Memory   resource.Quantity  `json:"memory"`
	Any      any                `json:"any"`
	Count    int32              `json:"count"`
	Share    float64            `json:"share"`
	Untagged string
	Hidden   string `json:"-"`
	private  string
}

// encoding/json: "Anonymous struct fields are usually marshaled as if their inner exported fields were fields in the outer
// struct"; "inline" says so in Kubernetes' API types.
func TestOf(t *testing.T) {
	s := schema.Of(reflect.TypeFor[*shape]())
	for path, want := range map[string]schema.Type{
		"shared": schema.StringType, "flat": schema.BoolType, "named": schema.ObjectType, "named.flat": schema.BoolType,
		"self.self.list[].self": schema.ObjectType, "list": schema.ListType, "map": schema.MapType, "map{}": schema.ObjectType,
		"map{}.flat": schema.BoolType, "bytes": schema.StringType, "time": schema.StringType, "plain": schema.StringType,
		"duration": schema.DurationType, "port": schema.IntOrStringType, "memory": schema.QuantityType, "any": schema.AnyType,
		"count": schema.IntType, "share": schema.NumberType, "Untagged": schema.StringType,
	} {
		if at := s.At(path); at == nil || at.Type != want {
			t.Errorf("%s: %v, want %v", path, at, want)
		}
	}
	for _, path := range []string{"Hidden", "private", "embedded", "Inline", "named.shared", "list.flat", "map.flat"} {
		if s.At(path) != nil {
			t.Errorf("%s is in the schema", path)
		}
	}
	_ = shape{}.private
}

func TestOfIsItsOwn(t *testing.T) {
	one := schema.Of(reflect.TypeFor[shape]()).SetEnum("shared", "a")
	if two := schema.Of(reflect.TypeFor[shape]()); two.At("shared").Enum != nil || one.At("shared").Enum == nil {
		t.Error("two schemas of a type share an enum")
	}
}

// Protobuf's JSON mapping: names in camel case, enums by name, durations and wrappers as plain values.
func TestOfMessage(t *testing.T) {
	s := schema.Whole(schema.Of(reflect.TypeFor[networking.VirtualService]()))
	for path, want := range map[string]schema.Type{
		"spec.exportTo": schema.ListType, "spec.http[].timeout": schema.DurationType, "spec.http[].match[].headers": schema.MapType,
		"spec.http[].match[].headers{}.exact": schema.StringType, "spec.http[].retries.attempts": schema.IntType,
		"spec.http[].mirrorPercentage.value": schema.NumberType, "spec.http[].corsPolicy.allowCredentials": schema.BoolType,
		"spec.http[].retries.retryRemoteLocalities": schema.BoolType, "status": schema.AnyType,
	} {
		if at := s.At(path); at == nil || at.Type != want {
			t.Errorf("%s: %v, want %v", path, at, want)
		}
	}
	if one := s.At("spec.http[].match[].uri").OneOf; len(one) != 1 || !slices.Contains(one[0], "prefix") {
		t.Errorf("a StringMatch is one of %v", one)
	}
	if required := s.At("spec.http[].route[].destination").Required; !slices.Contains(required, "host") {
		t.Errorf("of a Destination, %v is required; want host", required)
	}
	rule := schema.Of(reflect.TypeFor[networking.DestinationRule]())
	if e := rule.At("trafficPolicy.loadBalancer.simple").Enum; !slices.Contains(e, "ROUND_ROBIN") {
		t.Errorf("a simple load balancer is one of %v", e)
	}
}

func TestRequirePanicsWithoutField(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	schema.Of(reflect.TypeFor[shape]()).Require("named.nothing")
}

func TestRequireAtTop(t *testing.T) {
	if s := schema.Of(reflect.TypeFor[shape]()).Require("shared", "named.flat"); !slices.Equal(s.Required, []string{"shared"}) ||
		!slices.Equal(s.At("named").Required, []string{"flat"}) {
		t.Errorf("required are %v and %v", s.Required, s.At("named").Required)
	}
}
