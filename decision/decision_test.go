package decision

import (
	"encoding/json"
	"testing"
)

func TestDeciding(t *testing.T) {
	pass, denied, again := Verdict{Reason: Matched}, Verdict{Outcome: Deny, Reason: NoRuleAllows}, Verdict{Reason: Retried}
	late := Verdict{Outcome: Deny, Reason: TimedOut}
	for name, x := range map[string]struct {
		all  []Verdict
		want Verdict
	}{
		"nothing":                            {nil, Verdict{}},
		"the last that matched":              {[]Verdict{{Reason: Injected}, pass}, pass},
		"a denial, whatever matched later":   {[]Verdict{pass, denied, pass}, denied},
		"the last denial":                    {[]Verdict{denied, late}, late},
		"an attempt made again is past":      {[]Verdict{denied, again, pass}, pass},
		"and what came of the one after it":  {[]Verdict{denied, again, late}, late},
		"an attempt made again, and no more": {[]Verdict{denied, again}, again},
	} {
		if got := Deciding(x.all); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestWords: every value has a word of its own, by which JSON knows it again.
func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for r := Default; r <= Assumed; r++ {
		v := Verdict{Outcome: Outcome(r % 2), Reason: r, Ref: &Ref{Dialect: Dialect(r % 6), Kind: "K"}}
		b, err := json.Marshal(v)
		var got Verdict
		if err != nil || json.Unmarshal(b, &got) != nil || got.Reason != r || got.Outcome != v.Outcome || *got.Ref != *v.Ref || seen[r.String()] {
			t.Errorf("%v: %s, %v", v, b, err)
		}
		seen[r.String()] = true
	}
	var r Reason
	if err := json.Unmarshal([]byte(`"no such word"`), &r); err == nil {
		t.Error("a word that is none is taken")
	}
	if s := (Cilium + 1).String(); s == "" {
		t.Error("a dialect of a newer control plane has no name")
	}
}

func TestRef(t *testing.T) {
	vs := Ref{Dialect: Istio, Kind: "VirtualService", Namespace: "default", Name: "reviews"}
	rule := vs.At("http[0]")
	for want, r := range map[string]*Ref{
		"mesh default": nil, "VirtualService default/reviews (istio)": &vs, "VirtualService default/reviews http[0] (istio)": &rule,
		"CiliumClusterwideNetworkPolicy all (cilium)": {Dialect: Cilium, Kind: "CiliumClusterwideNetworkPolicy", Name: "all"},
	} {
		if got := r.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if (&Ref{}).String() != "mesh default" {
		t.Error("weft's own rules have the zero Ref")
	}
}
