package gatewayapi

import (
	"github.com/weft-mesh/weft/dialect"
)

// judged sets a condition by a verdict: its reason where something is wrong, else the word for that all is well.
func judged(c *dialect.Conditions, kind string, v verdict, well, message string) {
	if v.reason != "" {
		c.Set(kind, false, v.reason, v.said())
		return
	}
	c.Set(kind, true, well, message)
}

func (v verdict) said() string {
	if v.remedy == "" {
		return v.text
	}
	return v.text + "; " + v.remedy
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
