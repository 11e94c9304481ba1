package serve

import (
	"regexp"
	"testing"
)

func TestInstanceDescribesItself(t *testing.T) {
	for _, c := range []struct {
		name, version, given string
		env                  map[string]string
		want                 string
	}{
		{"nothing said", "", "", nil, `^reviews v1 reviews-v1-\d+ $`},
		{"flags win", "v3", "mine", map[string]string{"SERVICE_VERSION": "v2", "POD_NAME": "pod"}, `^reviews v3 mine $`},
		{"variables", "", "", map[string]string{"SERVICE_VERSION": "v2", "POD_NAME": "pod", "HOSTNAME": "host", "CLUSTER_NAME": "east"}, `^reviews v2 pod east$`},
		{"host's name", "", "", map[string]string{"HOSTNAME": "host"}, `^reviews v1 host $`},
	} {
		i := NewInstance("reviews", c.version, c.given, func(name string) string { return c.env[name] })
		got := i.Service + " " + i.Version + " " + i.Name + " " + i.Cluster
		if !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s: %q, want %s", c.name, got, c.want)
		}
	}
}
