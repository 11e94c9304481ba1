package spelling_test

import (
	"testing"

	"github.com/weft-mesh/weft/internal/spelling"
)

func TestNearest(t *testing.T) {
	names := []string{"host", "hosts", "http", "match", "policies", "route", "subset", "timeout"}
	for got, want := range map[string]string{
		"Hosts": "host", "htttp": "http", "macth": "match", "policy": "policies", "sub-set": "subset", "time": "timeout", "timeoutSeconds": "timeout",
		"tcp": "", "": "", "gateway": "",
	} {
		if near := spelling.Nearest(got, names); near != want {
			t.Errorf("%q: %q, want %q", got, near, want)
		}
	}
}
