package held

import (
	"cmp"
	"slices"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/stream"
)

// Resource is a resource as the store has it.
type Resource struct {
	Name      string    `json:"name"`
	State     string    `json:"state"`               // "in use", "asked for", "does not exist"
	Endpoints int       `json:"endpoints,omitempty"` // of a service, pool by pool
	Version   uint64    `json:"version,omitempty"`
	Waits     []string  `json:"waits,omitempty"` // a newer version is held back until these have arrived
	Used      time.Time `json:"used"`
}

// Peek returns what is known of a resource without asking for it.
func (s *Store) Peek(name string) (v any, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[name]; e != nil {
		return e.value, e.known
	}
	return nil, false
}

func endpointsOf(v any) (n int) {
	if svc, ok := v.(*config.Service); ok {
		for i := range svc.Ports {
			for j := range svc.Ports[i].Pools {
				n += len(svc.Ports[i].Pools[j].Endpoints)
			}
		}
	}
	return n
}

// List tells of all resources, by name.
func (s *Store) List() []Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Resource{}
	for name, e := range s.entries {
		h := Resource{Name: name, State: "asked for", Used: time.Unix(e.used.Load(), 0)}
		switch {
		case e.known && e.value != nil:
			h.State, h.Version, h.Endpoints = "in use", stream.VersionOf(e.body), endpointsOf(e.value)
		case e.known:
			h.State = "does not exist"
		}
		for w := range e.missing {
			h.Waits = append(h.Waits, w)
		}
		slices.Sort(h.Waits)
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Resource) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Dump lists what is in use, and what is known not to exist, but for pods: who reads it later cannot know whose an address is then.
func (s *Store) Dump() (out []stream.Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.entries {
		if e.known && !isPod(name) {
			out = append(out, stream.Resource{Name: name, Version: stream.VersionOf(e.body), Body: e.body, Gone: e.value == nil})
		}
	}
	return out
}
