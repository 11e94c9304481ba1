package linkerd

import (
	"maps"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// accepted has the status of a kind say what Linkerd's policy controller says, which is a condition Accepted (policy-controller/k8s/status).
// Weft obeys none of these kinds yet, and says that. echoed are fields of the spec that the status repeats, since its schema asks for them.
func accepted(k dialect.Kind, echoed ...string) dialect.Kind {
	k.Unclaimed = true
	k.Status = func(o *dialect.Object, _ dialect.View, found []mesh.Finding) dialect.Status {
		message := "not supported yet: " + k.Unsupported[""]
		for _, f := range found {
			if f.Level == mesh.Error {
				message = f.Said()
				break
			}
		}
		spec, _ := o.Whole()["spec"].(map[string]any)
		return func(was map[string]any, now time.Time) map[string]any {
			status := maps.Clone(was)
			if status == nil {
				status = map[string]any{}
			}
			for _, field := range echoed {
				if v, ok := spec[field]; ok {
					status[field] = v
				}
			}
			c := dialect.ConditionsOf(o, was["conditions"], now)
			c.Say("Accepted", false, dialect.NotSupported, message)
			status["conditions"] = c.List
			return status
		}
	}
	return k
}
