package dialect_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

func tree(conditions ...any) map[string]any { return map[string]any{"conditions": conditions} }

// TestVerdict: what others wrote stays, the time is that of the last change, and an older version's word does not undo a newer one's.
func TestVerdict(t *testing.T) {
	const before = "2025-12-31T00:00:00Z"
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := &dialect.Object{Tree: map[string]any{"metadata": map[string]any{"generation": float64(3)}}}
	d := dialect.Verdict{Condition: "Reconciled", Generated: true}
	theirs := map[string]any{"type": "Theirs", "status": "Unknown"}
	said := func(status, reason, message, at string, generation int64) map[string]any {
		return map[string]any{"type": "Reconciled", "status": status, "reason": reason, "message": message, "lastTransitionTime": at, "observedGeneration": generation}
	}
	refusal := []mesh.Finding{{Field: "spec.http[0]", Text: "it is wrong", Remedy: "mend it", Level: mesh.Error}, {Text: "it is odd", Level: mesh.Warning}, {Text: "by the way"}}
	for name, x := range map[string]struct {
		found []mesh.Finding
		was   []any
		want  []any
	}{
		"nothing found": {nil, nil, []any{said("True", dialect.InForce, "weft obeys it", "2026-01-02T03:04:05Z", 3)}},
		"a warning":     {refusal[1:], []any{theirs}, []any{theirs, said("True", dialect.Findings, "it is odd", "2026-01-02T03:04:05Z", 3)}},
		"an error":      {refusal, nil, []any{said("False", dialect.Refused, "spec.http[0]: it is wrong; mend it\nit is odd", "2026-01-02T03:04:05Z", 3)}},
		"as it was": {nil, []any{said("True", dialect.InForce, "weft obeys it", before, 2), theirs},
			[]any{said("True", dialect.InForce, "weft obeys it", before, 3), theirs}},
		"it changes":  {refusal[:1], []any{said("True", dialect.InForce, "", before, 2)}, []any{said("False", dialect.Refused, "spec.http[0]: it is wrong; mend it", "2026-01-02T03:04:05Z", 3)}},
		"of a newer":  {refusal, []any{said("True", dialect.InForce, "", before, 4)}, []any{said("True", dialect.InForce, "", before, 4)}},
		"odd entries": {nil, []any{"text", nil}, []any{"text", nil, said("True", dialect.InForce, "weft obeys it", "2026-01-02T03:04:05Z", 3)}},
	} {
		t.Run(name, func(t *testing.T) {
			was := tree(x.was...)
			was["validationMessages"] = "theirs"
			got := d.Status(o, nil, x.found)(was, now)
			if !reflect.DeepEqual(got["conditions"], x.want) || got["validationMessages"] != "theirs" || got["observedGeneration"] != int64(3) {
				t.Errorf("%v,\nwant %v", got, x.want)
			}
		})
	}
	got := dialect.Verdict{Condition: "Valid"}.Status(o, nil, nil)(nil, now)
	want := tree(map[string]any{"type": "Valid", "status": "True", "reason": dialect.InForce, "message": "weft obeys it", "lastTransitionTime": "2026-01-02T03:04:05Z"})
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	later := dialect.Verdict{Condition: "Reconciled", Later: "nobody has written it"}
	for found, want := range map[*mesh.Finding]string{{Text: "not supported yet", Level: mesh.Warning}: dialect.NotSupported + " not supported yet: nobody has written it", {Text: "no such field", Level: mesh.Error}: dialect.Refused + " no such field"} {
		c := later.Status(o, nil, []mesh.Finding{*found})(nil, now)["conditions"].([]any)[0].(map[string]any)
		if got := fmt.Sprint(c["reason"], " ", c["message"]); c["status"] != "False" || got != want {
			t.Errorf("%v, want %s", c, want)
		}
	}
	long := []mesh.Finding{{Text: strings.Repeat("é", 9000), Level: mesh.Error}}
	message := d.Status(o, nil, long)(nil, now)["conditions"].([]any)[0].(map[string]any)["message"].(string)
	if len(message) > 5000 || !strings.Contains(message, "weft analyze") || strings.Contains(message, "\uFFFD") {
		t.Errorf("%d bytes: %.80q", len(message), message)
	}
}
