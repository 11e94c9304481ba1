package dialect

import (
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/internal/spelling"
	"github.com/weft-mesh/weft/mesh"
)

const unknownField = "unknown field: it has no effect"

// unknown adds the finding of a field that s, the schema around it, does not have.
func (c *checker) unknown(p *place, s *schema.Schema, v any) {
	remedy := c.meant(p, s)
	if p.below("match", "matches") || remedy == "did you mean match?" || remedy == "did you mean matches?" {
		c.add(mesh.Error, p, unknownCondition, remedy)
	} else {
		c.add(mesh.Warning, p, unknownField, remedy)
	}
	c.inside(p, v)
}

// unknownCondition: of what is to hold for a rule's calls nothing may be left out, or the rule would be for others too.
const unknownCondition = "unknown field of a condition: without it the rule would be for more calls than it says"

// inside adds the findings of fields inside of an unknown one that Renamed speaks of.
func (c *checker) inside(p *place, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := p.child(key)
			if _, ok := c.kind.Renamed[pattern(at.String())]; ok {
				c.add(mesh.Warning, at, unknownField, c.meant(at, &schema.Schema{}))
			}
			c.inside(at, v[key])
		}
	case []any:
		for i := range v {
			c.inside(p.elem(i), v[i])
		}
	}
}

// meant says what the author of an unknown field probably meant, or nothing.
func (c *checker) meant(p *place, s *schema.Schema) string {
	if name, ok := c.kind.Renamed[pattern(p.String())]; ok {
		if strings.Contains(name, " ") {
			return name
		}
		return "did you mean " + name + "?"
	}
	if p.key == "true" || p.key == "false" {
		return yamlWords
	}
	names := slices.Collect(maps.Keys(s.Fields))
	if p.up == nil {
		names = append(names, "metadata") // of every object, and of no Schema
	}
	if near := spelling.Nearest(p.key, names); near != "" {
		return "did you mean " + near + "?"
	}
	if at := c.elsewhere(p); at != "" {
		return "it belongs at " + at
	}
	return ""
}

// elsewhere returns the place in the kind's schema of a field of p's name that is nearest to p: most of the way in common,
// then the shortest. A name that stands in many places, as "name", tells nothing.
func (c *checker) elsewhere(p *place) string {
	from := pattern(p.String())
	var places []string
	c.kind.Schema.Each("", map[*schema.Schema]bool{}, func(path string, _ *schema.Schema) {
		if lastStep(path) == p.key && !strings.HasPrefix(path, "status.") {
			places = append(places, path)
		}
	})
	if len(places) == 0 || len(places) > 4 {
		return ""
	}
	return slices.MinFunc(places, func(a, b string) int {
		if d := common(from, b) - common(from, a); d != 0 {
			return d
		}
		return len(a) - len(b)
	})
}

func lastStep(path string) string {
	return strings.TrimRight(path[strings.LastIndexByte(path, '.')+1:], "[]{}")
}

// common is the number of steps that two paths share from their beginning.
func common(a, b string) (n int) {
	x, y := schema.Steps(a), schema.Steps(b)
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	return n
}
