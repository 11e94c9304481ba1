package dialect

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/mesh"
)

// Conditions are those of a status, or of a part of it: weft's take the place of those of their type, and all others stay as they are
// ("Implementations MUST NOT remove or reorder Conditions that they are not directly responsible for", Gateway API, GatewayStatus.conditions).
type Conditions struct {
	List       []any
	generation int64 // of the object, which the conditions speak of
	now        string
}

// ConditionsOf begins with those that there are, of the version of the object that weft has read.
func ConditionsOf(o *Object, was any, now time.Time) *Conditions {
	list, _ := was.([]any)
	return &Conditions{append([]any(nil), list...), generationOf(o), now.UTC().Format(time.RFC3339)}
}

func generationOf(o *Object) int64 {
	meta, _ := o.Tree["metadata"].(map[string]any)
	return integer(meta["generation"])
}

func integer(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// Set says whether a condition holds, and why. When it last changed is kept where it has not.
func (c *Conditions) Set(kind string, holds bool, reason, message string) {
	c.put(kind, holds, map[string]any{"reason": reason, "message": message, "observedGeneration": c.generation})
}

// Still is Set of a condition that holds because an earlier version, good, is in force: it speaks of that one.
func (c *Conditions) Still(good *Object, kind, reason, message string) {
	c.put(kind, true, map[string]any{"reason": reason, "message": message, "observedGeneration": generationOf(good)})
}

// Say is Set for kinds whose conditions have no field for the generation.
func (c *Conditions) Say(kind string, holds bool, reason, message string) {
	c.put(kind, holds, map[string]any{"reason": reason, "message": message})
}

func (c *Conditions) put(kind string, holds bool, now map[string]any) {
	status := map[bool]string{true: "True", false: "False"}[holds]
	now["type"], now["status"], now["lastTransitionTime"] = kind, status, c.now
	for i, x := range c.List {
		old, ok := x.(map[string]any)
		if !ok || old["type"] != kind {
			continue
		}
		if integer(old["observedGeneration"]) > c.generation {
			return // "it MUST NOT perform the update on that Condition", which is of a version that weft has not read yet
		}
		if at, ok := old["lastTransitionTime"].(string); ok && old["status"] == status {
			now["lastTransitionTime"] = at
		}
		c.List[i] = now
		return
	}
	c.List = append(c.List, now)
}

// Remove takes a condition away that does not hold any more, where not to have it says so.
func (c *Conditions) Remove(kind string) {
	c.List = slices.DeleteFunc(c.List, func(x any) bool {
		m, ok := x.(map[string]any)
		return ok && m["type"] == kind
	})
}

// Verdict is the status of a kind that says no more of an object than whether it is in force: one condition, with what was found of it.
type Verdict struct {
	Condition string
	Generated bool   // conditions, and the status, name the generation that they speak of
	Later     string // why weft does not obey the kind yet; empty: it does
}

// Status is a Kind's.
func (d Verdict) Status(o *Object, _ View, found []mesh.Finding) Status {
	holds, reason, message := judgement(found)
	if holds && d.Later != "" {
		holds, reason, message = false, NotSupported, "not supported yet: "+d.Later
	}
	return func(was map[string]any, now time.Time) map[string]any {
		status := maps.Clone(was)
		if status == nil {
			status = map[string]any{}
		}
		c := ConditionsOf(o, was["conditions"], now)
		if d.Generated {
			c.Set(d.Condition, holds, reason, message)
			status["observedGeneration"] = max(c.generation, integer(was["observedGeneration"]))
		} else {
			c.Say(d.Condition, holds, reason, message)
		}
		status["conditions"] = c.List
		return status
	}
}

// Reasons of a Verdict.
const (
	InForce  = "InForce"
	Findings = "Findings" // it is in force, and not all of it has the effect that its author may expect
	Refused  = "Refused"  // the last good version stays in force, if there was one

	NotSupported = "NotSupported" // weft does not obey the kind
)

// mostSaid bounds a condition's message, whose first line Kubernetes' tables show.
const mostSaid = 4096

func judgement(found []mesh.Finding) (holds bool, reason, message string) {
	var lines []string
	holds, reason = true, InForce
	for _, f := range found {
		if f.Level == mesh.Info {
			continue
		}
		if reason = Findings; f.Level == mesh.Error {
			holds = false
		}
		lines = append(lines, f.Said())
	}
	if !holds {
		reason = Refused
	}
	if message = strings.Join(lines, "\n"); message == "" {
		message = "weft obeys it"
	}
	if len(message) > mostSaid {
		message = strings.ToValidUTF8(message[:mostSaid], "") + "\nand more: see weft analyze"
	}
	return holds, reason, message
}
