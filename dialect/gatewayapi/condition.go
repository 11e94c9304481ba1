package gatewayapi

import (
	"slices"
	"time"

	"github.com/weft-mesh/weft/dialect"
)

// conditions are those of a status, or of a part of it: weft's take the place of those of their type, and all others stay as they are
// ("Implementations MUST NOT remove or reorder Conditions that they are not directly responsible for", GatewayStatus.conditions).
type conditions struct {
	list       []any
	generation int64
	now        string
}

// conditionsOf begins with those that there are, of the version of the object that weft has read.
func conditionsOf(o *dialect.Object, was any, now time.Time) *conditions {
	list, _ := was.([]any)
	return &conditions{append([]any(nil), list...), generationOf(o), now.UTC().Format(time.RFC3339)}
}

// generationOf is the version of the spec that conditions speak of.
func generationOf(o *dialect.Object) int64 {
	meta, _ := o.Tree["metadata"].(map[string]any)
	return number(meta["generation"])
}

func number(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// set says whether a condition holds, and why. When it last changed is kept where it has not.
func (c *conditions) set(kind string, holds bool, reason, message string) {
	status := map[bool]string{true: "True", false: "False"}[holds]
	now := map[string]any{"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": c.generation, "lastTransitionTime": c.now}
	for i, x := range c.list {
		old, ok := x.(map[string]any)
		if !ok || old["type"] != kind {
			continue
		}
		if number(old["observedGeneration"]) > c.generation {
			return // "it MUST NOT perform the update on that Condition", which is of a version that weft has not read yet
		}
		if at, ok := old["lastTransitionTime"].(string); ok && old["status"] == status {
			now["lastTransitionTime"] = at
		}
		c.list[i] = now
		return
	}
	c.list = append(c.list, now)
}

// remove takes a condition away that does not hold any more, where not to have it says so.
func (c *conditions) remove(kind string) {
	c.list = slices.DeleteFunc(c.list, func(x any) bool {
		m, ok := x.(map[string]any)
		return ok && m["type"] == kind
	})
}

// judged sets a condition by a verdict: its reason where something is wrong, else the word for that all is well.
func (c *conditions) judged(kind string, v verdict, well, message string) {
	if v.reason != "" {
		text := v.text
		if v.remedy != "" {
			text += "; " + v.remedy
		}
		c.set(kind, false, v.reason, text)
		return
	}
	c.set(kind, true, well, message)
}

// named finds an element of a list by a field.
func named(list any, field, name string) map[string]any {
	all, _ := list.([]any)
	for _, x := range all {
		if m, ok := x.(map[string]any); ok && m[field] == name {
			return m
		}
	}
	return nil
}
