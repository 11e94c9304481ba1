package dialect_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/mesh"
)

type rule struct {
	Name    string            `json:"name"`
	Weight  int32             `json:"weight"`
	Headers map[string]string `json:"headers"`
	Paths   []string          `json:"paths"`
	Mirror  *mirror           `json:"mirror"`
	Timeout string            `json:"timeout"`
}

type mirror struct {
	Host    string  `json:"host"`
	Percent float64 `json:"percent"`
	Deep    *struct {
		One string `json:"one"`
		Two string `json:"two"`
	} `json:"deep"`
}

type spec struct {
	Host        string            `json:"host"`
	Mode        string            `json:"mode"`
	Rules       []rule            `json:"rules"`
	RetryBudget map[string]int    `json:"retryBudget"`
	Fine        map[string]any    `json:"fine"`
	Memory      string            `json:"memory"`
	On          bool              `json:"active"`
	Port        any               `json:"port"`
	Parts       []part            `json:"parts"`
	Sorts       map[string]part   `json:"sorts"`
	Levels      map[string]string `json:"levels"`
}

type part struct {
	Size  int32 `json:"size"`
	Count int32 `json:"count"`
}

// kinds are a made-up dialect. A Thing becomes a Service of its host; it looks at the Things that its memory names.
func kinds() []dialect.Kind {
	s := schema.Whole(schema.Of(reflect.TypeFor[spec]())).Require("spec", "spec.host", "spec.rules[].name").
		SetEnum("spec.mode", "STRICT", "PERMISSIVE").SetType("spec.rules[].timeout", schema.DurationType).
		SetType("spec.memory", schema.QuantityType).SetType("spec.port", schema.IntOrStringType)
	s.At("spec.levels").Numbers = true
	s.At("spec.rules[].mirror").OneOf = [][]string{{"host", "percent"}}
	return []dialect.Kind{{
		Dialect: decision.Istio, Group: "things.example.com", Name: "Thing", Versions: []string{"v1", "v1beta1"}, Schema: s,
		Fields: []string{"spec.host", "spec.mode", "spec.rules[].name", "spec.rules[].headers{}", "spec.rules[].paths", "spec.fine.*", "spec.active",
			"spec.rules[].timeout", "spec.port", "spec.parts", "spec.sorts", "spec.parts[].size", "spec.sorts{}.size", "spec.levels"},
		Ignored:     map[string]string{"status.*": "it is what a controller says", "spec.memory": "unused"},
		Unsupported: map[string]string{"spec.rules[].mirror": "copies are not sent", "spec.rules[].mirror.deep.two": "two is one too many"},
		Renamed: map[string]string{"spec.rules[].destination": "spec.host", "spec.old": "write the new one instead",
			"spec.ancient[].older": "spec.mode", "spec.ancient[].it.oldest": "spec.port"},
		Lower:       lowerThing,
		Annotations: []string{"things.istio.io/shape"},
	}, {
		Dialect: decision.Istio, Group: "things.example.com", Name: "Later", Versions: []string{"v1"}, Schema: s,
		Unsupported: map[string]string{"": "it comes later"},
	}, {
		Dialect: decision.Istio, Group: "things.example.com", Name: "Useless", Versions: []string{"v1"}, Cluster: true,
		Ignored: map[string]string{"": "nobody calls it"},
	}, {
		Dialect: decision.Istio, Group: "things.example.com", Name: "Guardian", Versions: []string{"v1"}, Guards: true, Ignored: map[string]string{"": "it is a test's"},
	}, {
		Dialect: decision.Core, Name: "Service", Versions: []string{"v1"}, Lower: lowerThing,
	}}
}

func lowerThing(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
	var s spec
	if err := dialect.DecodeField(o, "spec", &s); err != nil {
		return mesh.Part{}, []mesh.Finding{{Text: err.Error(), Level: mesh.Error}}
	}
	switch {
	case s.Host == "bad":
		return mesh.Part{Services: []mesh.Service{{Host: "bad"}}}, []mesh.Finding{{Field: "spec.host", Text: "it is bad", Level: mesh.Error}}
	case strings.HasPrefix(s.Host, "of:"):
		return host(s.Host, count(v.Get("things.example.com", "Thing", o.Namespace, s.Host[3:])))
	case strings.HasPrefix(s.Host, "all:"):
		return host(s.Host, len(v.List("things.example.com", "Thing", s.Host[4:])))
	}
	return host(s.Host, len(s.Rules))
}

func count(o *dialect.Object) int {
	if o == nil {
		return 0
	}
	spec, _ := o.Tree["spec"].(map[string]any)
	rules, _ := spec["rules"].([]any)
	return 1 + len(rules)
}

func host(name string, ports int) (mesh.Part, []mesh.Finding) {
	return mesh.Part{Services: []mesh.Service{{Host: name, Ports: make([]mesh.Port, ports)}}}, nil
}

const head = "apiVersion: things.example.com/v1\nkind: Thing\nmetadata: {name: a}\n"

func TestRead(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"right", head + `spec: {host: h, mode: STRICT, rules: [{name: one, headers: {a: b}, paths: [/], timeout: 1.5s}], fine: {x: {y: [1]}}, memory: 1Gi, active: true, port: web}
status: {what: ever}`, ""},
		{"unset", head + "spec: {host: h, mode: , rules: , active: null}", ""},
		{"empty containers", head + "spec: {host: h, rules: [], fine: {}}", ""},
		{"old version", "apiVersion: things.example.com/v1beta1\nkind: Thing\nmetadata: {name: a}\nspec: {host: h}", ""},
		{"unknown version", "apiVersion: things.example.com/v2\nkind: Thing\nmetadata: {name: a}\nspec: {host: h}",
			"error apiVersion: version v2 of Thing is not known; write things.example.com/v1 or things.example.com/v1beta1"},
		{"unknown version, and more", "apiVersion: things.example.com/v2\nkind: Thing\nmetadata: {name: a}\nspec: {host: bad, hots: h}", `
error apiVersion: version v2 of Thing is not known; write things.example.com/v1 or things.example.com/v1beta1
warning spec.hots: unknown field: it has no effect; did you mean host?
error spec.host: it is bad`},
		{"misspelled kind", "apiVersion: things.example.com/v1\nkind: Thign\nmetadata: {name: a}",
			"warning : kind Thign of things.example.com is not known: the object has no effect; did you mean Thing?"},
		{"misspelled group", "apiVersion: thing.example.com/v1\nkind: Thigns\nmetadata: {name: a}",
			"warning : kind Thigns of thing.example.com is not known: the object has no effect; did you mean Thing?"},
		{"wrong group", "apiVersion: networking.example.com/v1\nkind: Thing\nmetadata: {name: a}",
			"warning : kind Thing of networking.example.com is not known: the object has no effect; did you mean apiVersion: things.example.com/v1?"},
		{"core group", "apiVersion: v1\nkind: Thing\nmetadata: {name: a}",
			"warning : kind Thing of the core group is not known: the object has no effect; did you mean apiVersion: things.example.com/v1?"},
		{"misspelled kind that guards", "apiVersion: things.example.com/v1\nkind: Guarddian\nmetadata: {name: a}",
			"error : kind Guarddian of things.example.com is not known: the object has no effect; did you mean Guardian?"},
		{"kind that guards in another group that is known", "apiVersion: v1\nkind: Guardian\nmetadata: {name: a}",
			"error : kind Guardian of the core group is not known: the object has no effect; did you mean apiVersion: things.example.com/v1?"},
		{"kind of that name in a group of its own", "apiVersion: a.b/v1\nkind: Guardian\nmetadata: {name: a}",
			"warning : kind Guardian of a.b is not known: the object has no effect; did you mean apiVersion: things.example.com/v1?"},
		{"group of its own", "apiVersion: a.b/v1\nkind: Database\nmetadata: {name: a}",
			"warning : kind Database of a.b is not known: the object has no effect"},
		{"case", head + "spec: {host: h, Mode: STRICT}", "warning spec.Mode: unknown field: it has no effect; did you mean mode?"},
		{"plural", head + "spec: {hosts: [h], host: h}", "warning spec.hosts: unknown field: it has no effect; did you mean host?"},
		{"slip", head + "spec: {host: h, rlues: []}", "warning spec.rlues: unknown field: it has no effect; did you mean rules?"},
		{"beginning", head + "spec: {host: h, retry: []}", "warning spec.retry: unknown field: it has no effect; did you mean retryBudget?"},
		{"elsewhere", head + "spec: {host: h, timeout: 5s}",
			"warning spec.timeout: unknown field: it has no effect; it belongs at spec.rules[].timeout"},
		{"renamed", head + "spec: {host: h, old: 1, rules: [{name: one, destination: x}]}", `
warning spec.old: unknown field: it has no effect; write the new one instead
warning spec.rules[0].destination: unknown field: it has no effect; did you mean spec.host?`},
		{"renamed inside of what is unknown", head + "spec: {host: h, ancient: [{new: 1}, {older: 2, it: {oldest: 3}}]}", `
warning spec.ancient: unknown field: it has no effect
warning spec.ancient[1].it.oldest: unknown field: it has no effect; did you mean spec.port?
warning spec.ancient[1].older: unknown field: it has no effect; did you mean spec.mode?`},
		{"at the top", "apiVersion: things.example.com/v1\nkind: Thing\nmetdata: {name: a}\nspce: {host: h}", `
error metadata.name: required, and not there
error spec: required, and not there
warning metdata: unknown field: it has no effect; did you mean metadata?
warning spce: unknown field: it has no effect; did you mean spec?`},
		{"unlike anything", head + "spec: {host: h, xyzzy: 1}\nzork: 1", `
warning spec.xyzzy: unknown field: it has no effect
warning zork: unknown field: it has no effect`},
		{"not supported", head + "spec: {host: h, retryBudget: {a: 1, b: 2}, rules: [{name: one}, {name: two, weight: 3}]}", `
warning spec.retryBudget: not supported yet: it has no effect
warning spec.rules[1].weight: not supported yet: it has no effect`},
		{"the ends of a range", head + "spec: {host: h, parts: [{size: 2147483647}, {size: -2147483648}]}", ""},
		{"beyond the ends of a range", head + "spec: {host: h, parts: [{size: 2147483648}, {size: -2147483649}, {size: 3.0e9}]}", `
error spec.parts[0].size: 2147483648 is outside of -2147483648 to 2147483647
error spec.parts[1].size: -2147483649 is outside of -2147483648 to 2147483647
error spec.parts[2].size: 3e+09 is outside of -2147483648 to 2147483647`},
		{"keys that are numbers", head + `spec: {host: h, levels: {80: a, "90": b, http: c, -1: d, 4294967296: e}}`, `
error spec.levels.-1: a whole number is expected as the key, and this is "-1"
error spec.levels.4294967296: a whole number is expected as the key, and this is "4294967296"
error spec.levels.http: a whole number is expected as the key, and this is "http"`},
		{"not supported in what is", head + "spec: {host: h, parts: [{size: 1, count: 2}], sorts: {a: {size: 1, count: 2}}}", `
warning spec.parts[0].count: not supported yet: it has no effect
warning spec.sorts.a.count: not supported yet: it has no effect`},
		{"one finding for all below", head + "spec: {host: h, rules: [{name: one, mirror: {percent: 3, deep: {one: x, two: z}}}]}",
			"warning spec.rules[0].mirror: not supported yet: copies are not sent"},
		{"wrong types", head + "spec: {host: [h], active: \"true\", rules: [{name: 3, paths: x, timeout: 5, headers: {a: 1}}], memory: lots, port: 1.5, fine: 1}", `
error spec.active: true or false is expected here, and this is "true"; write it without quotes: true
error spec.fine: a map is expected here, and this is 1
error spec.host: a string is expected here, and this is a list
error spec.memory: "lots" is not a quantity, as "100m" or 2
error spec.port: a whole number or a string is expected here, and this is 1.5
error spec.rules[0].headers.a: a string is expected here, and this is 1; write it in quotes: "1"
error spec.rules[0].name: a string is expected here, and this is 3; write it in quotes: "3"
error spec.rules[0].paths: a list is expected here, and this is "x"
error spec.rules[0].timeout: a duration, as "1.5s" is expected here, and this is 5`},
		{"wrong type below what is not supported", head + "spec: {host: h, rules: [{name: one, mirror: {percent: a lot}}]}", `
warning spec.rules[0].mirror: not supported yet: copies are not sent
error spec.rules[0].mirror.percent: a number is expected here, and this is "a lot"`},
		{"duration without unit", head + "spec: {host: h, rules: [{name: one, timeout: \"5\"}]}",
			`error spec.rules[0].timeout: "5" is not a duration, as "1.5s"; add a unit: "5s"`},
		{"quoted number", head + "spec: {host: h, rules: [{name: one, weight: \"3\"}]}",
			`error spec.rules[0].weight: a whole number is expected here, and this is "3"; write it without quotes: 3`},
		{"broken number", head + "spec: {host: h, rules: [{name: one, weight: 1.5}]}",
			`error spec.rules[0].weight: a whole number is expected here, and this is 1.5`},
		{"whole float", head + "spec: {host: h, port: 2.0}", ""},
		{"words that YAML reads as true or false", head + "spec: {host: no, on: 1}", `
error spec.host: a string is expected here, and this is false; YAML reads y, n, yes, no, on and off as true and false: write it in quotes
warning spec.true: unknown field: it has no effect; YAML reads y, n, yes, no, on and off as true and false: write it in quotes`},
		{"enum", head + "spec: {host: h, mode: Strict}",
			`error spec.mode: "Strict" is none of STRICT, PERMISSIVE; did you mean STRICT?`},
		{"one of", head + "spec: {host: h, rules: [{name: one, mirror: {host: a, percent: 1}}]}", `
warning spec.rules[0].mirror: not supported yet: copies are not sent
error spec.rules[0].mirror.percent: host is set too, and only one of host, percent may be`},
		{"required", head + "spec: {rules: [{}]}", `
error spec.host: required, and not there
error spec.rules[0].name: required, and not there`},
		{"required is null", head + "spec: {host: }", "error spec.host: required, and not there"},
		{"no spec", head, "error spec: required, and not there"},
		{"nothing in a list", head + "spec: {host: h, rules: [{name: one}, ]}\n---\n" + head + "spec: {host: h, rules: [{name: one}, null]}",
			"error spec.rules[1]: nothing stands here, and an object is expected"},
		{"lower fails", head + "spec: {host: bad}", "error spec.host: it is bad"},
		{"no lower", "apiVersion: things.example.com/v1\nkind: Later\nmetadata: {name: a}\nspec: {host: h, hsot: x, mode: x}", `
warning : not supported yet: it comes later
warning spec.hsot: unknown field: it has no effect; did you mean host?
error spec.mode: "x" is none of STRICT, PERMISSIVE`},
		{"no part", "apiVersion: things.example.com/v1\nkind: Useless\nmetadata: {name: a}\nany: thing", "info : has no part in the mesh: nobody calls it"},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, c.yaml, c.want) })
	}
}

func expect(t *testing.T, yaml, want string) {
	t.Helper()
	_, found := dialecttest.Lower(t, kinds(), yaml)
	var got []string
	for _, f := range found {
		text := f.Level.String() + " " + f.Field + ": " + f.Text
		if f.Remedy != "" {
			text += "; " + f.Remedy
		}
		got = append(got, text)
	}
	if text := strings.Join(got, "\n"); text != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", text, strings.TrimSpace(want))
	}
}

func TestReadMetadata(t *testing.T) {
	const of = "apiVersion: things.example.com/v1\nkind: Thing\nspec: {host: h}\nmetadata: "
	for _, c := range []struct{ name, yaml, want string }{
		{"all that an API server adds", of + `{name: a, uid: x, resourceVersion: "1", generation: 1, creationTimestamp: "2026-01-01T00:00:00Z",
  managedFields: [{manager: m, operation: Apply, apiVersion: v1, time: "2026-01-01T00:00:00Z", fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}}],
  ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u}], labels: {a/b: c}, annotations: {any: "thing goes / here"}}`, ""},
		{"none", "apiVersion: things.example.com/v1\nkind: Thing\nspec: {host: h}", "error metadata.name: required, and not there"},
		{"no name", of + "{}", "error metadata.name: required, and not there"},
		{"generated", of + "{generateName: a-}",
			"error metadata.name: required, and not there: nobody makes a name of generateName here; write a name"},
		{"number", of + "{name: 12}", `error metadata.name: a string is expected here, and this is 12; write it in quotes: "12"`},
		{"a list", of + "[]", "error metadata: an object is expected here, and this is a list"},
		{"bad name", of + "{name: My_Thing}", "error metadata.name: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', " +
			"and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"},
		{"unknown field", of + "{name: a, namepsace: b}", "warning metadata.namepsace: unknown field: it has no effect; did you mean namespace?"},
		{"labels", of + "{name: a, labels: {version: 1}}", `error metadata.labels.version: a string is expected here, and this is 1; write it in quotes: "1"`},
		{"namespace of the cluster's", "apiVersion: things.example.com/v1\nkind: Useless\nmetadata: {name: a, namespace: b}", `
warning metadata.namespace: a Useless is of the whole cluster and has no namespace; remove it
info : has no part in the mesh: nobody calls it`},
		{"annotations of meshes", of + `{name: a, annotations: {things.istio.io/shape: round, things.istio.io/shapes: x, retry.linkerd.io/http: 5xx,
  linkerd.io/inject: enabled, example.com/x: z, notistio.io/x: z}, labels: {istio.io/use-waypoint: w}}`, `
warning metadata.annotations["retry.linkerd.io/http"]: not supported yet: the annotation has no effect
warning metadata.annotations["things.istio.io/shapes"]: not supported yet: the annotation has no effect; did you mean things.istio.io/shape?
warning metadata.labels["istio.io/use-waypoint"]: not supported yet: the label has no effect but for selectors`},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, c.yaml, c.want) })
	}
	_, found := dialecttest.Lower(t, kinds(), of+"{name: a, labels: {a: \"no spaces please\"}, namespace: no.dots}")
	if len(found) != 2 || found[0].Field != "metadata.namespace" || found[1].Field != "metadata.labels.a" || found[1].Level != mesh.Error {
		t.Errorf("%v", found)
	}
}

func TestReadGivesNoPartWithErrors(t *testing.T) {
	parts, _ := dialecttest.Lower(t, kinds(), head+"spec: {host: bad}\n---\n"+head+"spec: {host: h, mode: x}\n---\n"+head+"spec: {host: h}")
	if !parts[0].Empty() || !parts[1].Empty() || parts[2].Empty() {
		t.Errorf("%+v", parts)
	}
}

// The dialect of a kind that nobody knows is that of its group's kinds.
func TestReadNames(t *testing.T) {
	_, found := dialecttest.Lower(t, kinds(), "apiVersion: things.example.com/v1\nkind: Other\nmetadata: {name: a, namespace: b}")
	if want := (decision.Ref{Dialect: decision.Istio, Kind: "Other", Namespace: "b", Name: "a"}); len(found) != 1 || found[0].Ref != want {
		t.Errorf("%v", found)
	}
}

func TestDecode(t *testing.T) {
	o := &dialect.Object{Tree: map[string]any{"spec": map[string]any{"rules": []any{map[string]any{"weight": int64(1) << 40}}}, "metadata": 3}}
	var into struct {
		Spec spec `json:"spec"`
	}
	if err := dialect.Decode(o, &into); err == nil || !strings.HasPrefix(err.Error(), "spec.rules.weight: int32 is expected here") {
		t.Error(err)
	}
	var s spec
	if err := dialect.DecodeField(o, "spec", &s); err == nil || !strings.HasPrefix(err.Error(), "spec.rules.weight: int32 is expected here") {
		t.Error(err)
	}
	if err := dialect.DecodeField(o, "status", &s); err != nil {
		t.Error(err)
	}
	s, o.Tree = spec{}, map[string]any{"spec": map[string]any{"HOST": "h", "Mode": "STRICT", "mode": "PERMISSIVE"}}
	if err := dialect.DecodeField(o, "spec", &s); err != nil || s.Host != "" || s.Mode != "PERMISSIVE" {
		t.Errorf("case does not count: %+v, %v", s, err)
	}
}

func TestLabels(t *testing.T) {
	one := dialect.Labels(map[string]string{"b": "2", "a": "1"})
	if !reflect.DeepEqual(one, []string{"a=1", "b=2"}) {
		t.Error(one)
	}
	if next := dialect.Labels(map[string]string{"a": "1", "b": "2"}); &one[0] != &next[0] {
		t.Error("pods with the same labels, one after the other, have a list each")
	}
	if other := dialect.Labels(map[string]string{"a": "1", "b": "3"}); !reflect.DeepEqual(other, []string{"a=1", "b=3"}) {
		t.Error(other)
	}
}
