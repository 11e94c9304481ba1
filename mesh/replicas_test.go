package mesh

import "testing"

func TestParseReplicas(t *testing.T) {
	for text, want := range map[string]Replicas{"1": {Min: 1, Max: 1}, "3": {Min: 3, Max: 3}, "2-10": {Min: 2, Max: 10}, "4-4": {Min: 4, Max: 4}} {
		if got, err := ParseReplicas(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "2-", "-2", "3-2", "0-2", "1-70000", "1-2-3", " 1"} {
		if got, err := ParseReplicas(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
