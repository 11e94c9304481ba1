package kube

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weft-mesh/weft/dialect"
)

// Seek says which objects somebody seeks by name, of kinds of which not all are read. Each of them that is there is read too, from now on and
// until it is not sought any more; each that is not is deleted once it has been looked for. It does not wait.
func (s *Source) Seek(keys []dialect.Key) {
	s.mu.Lock()
	s.sought = keys
	s.mu.Unlock()
	stir(s.anew)
}

func (s *Source) seeks() []dialect.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sought
}

// mostSought bounds the objects of a namespace and kind that are read by name, and mostInAll those of all: each is a request that stays open. Who
// may write there has others name as many as he likes. Where there are too many in all, those go without whose namespaces have most.
const (
	mostSought = 100
	mostInAll  = 1000
)

// seeks says whether there is a kind of which objects may be sought.
func (r *run) seeks() bool {
	for _, now := range r.readings {
		if now.choice.Sought != "" {
			return true
		}
	}
	return false
}

// seek begins to read the objects that are sought and that nobody reads, and ends with those that are not to be.
func (r *run) seek(ctx context.Context) {
	if !r.told {
		return // nobody has been told of anything
	}
	due := map[dialect.Key]bool{}
	for _, k := range r.affords() {
		due[k] = true
		switch now := r.single[k]; {
		case now != nil && now.listed && !now.absent && now.known.get(*now.only) == nil:
			now.absent = true
			r.event.Delete = append(r.event.Delete, k)
		case now == nil:
			all := r.readings[schema.GroupKind{Group: k.Group, Kind: k.Kind}]
			now := newReading(all.wanted, all.at, nil)
			now.only = &name{k.Namespace, k.Name}
			r.single[k] = now
			r.start(ctx, now)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(r.single), dialect.Key.Compare) {
		if gone := r.single[k]; !due[k] {
			gone.stop()
			delete(r.single, k)
			r.forget(gone)
		}
	}
}

// affords are the objects to be read of those that are sought and that nobody reads.
func (r *run) affords() (keys []dialect.Key) {
	count, rank := map[dialect.Key]int{}, map[dialect.Key]int{}
	for _, k := range slices.SortedFunc(slices.Values(r.sought()), dialect.Key.Compare) {
		all, of := r.readings[schema.GroupKind{Group: k.Group, Kind: k.Kind}], dialect.Key{Group: k.Group, Kind: k.Kind, Namespace: k.Namespace}
		if all == nil || all.choice.Sought == "" || all.known.get(name{k.Namespace, k.Name}) != nil || !possible(k) {
			continue
		}
		if count[of]++; count[of] > mostSought {
			r.crowds(of, mostSought)
			continue
		}
		rank[k] = count[of]
		keys = append(keys, k)
	}
	if len(keys) > mostInAll {
		r.crowds(dialect.Key{}, mostInAll)
		slices.SortStableFunc(keys, func(a, b dialect.Key) int { return cmp.Compare(rank[a], rank[b]) })
		keys = keys[:mostInAll]
	}
	return keys
}

// crowds says once that more are named than are read, of a namespace and kind or in all.
func (r *run) crowds(of dialect.Key, read int) {
	if !r.crowded[of] {
		r.crowded[of] = true
		r.cluster.log.Warn("more objects are named than are read; the others are as if they were not there", "kind", of.Kind,
			"namespace", of.Namespace, "read", read, "remedy", "name fewer, or have Secrets be of the type kubernetes.io/tls")
	}
}

// possible says whether an object may have that name. Who names one that none has would have it be a field selector of his own making, and what the
// API server refuses is never found: nobody would be told that all was read.
func possible(k dialect.Key) bool {
	return len(validation.IsDNS1123Label(k.Namespace)) == 0 && len(validation.IsDNS1123Subdomain(k.Name)) == 0
}

// found says whether all objects that are sought have been looked for.
func (r *run) found() bool {
	for _, now := range r.single {
		if !now.listed && !now.excused() {
			return false
		}
	}
	return true
}

func (r *reading) key(n name) dialect.Key {
	return dialect.Key{Group: r.kind.Group, Kind: r.kind.Name, Namespace: n.namespace, Name: n.name}
}

// other is an object that another reading knows by the same name; nil: none does.
func (r *run) other(than *reading, n name) *dialect.Object {
	for _, now := range []*reading{r.readings[than.of()], r.single[than.key(n)]} {
		if now == nil || now == than {
			continue
		}
		if o := now.known.get(n); o != nil {
			return o
		}
	}
	return nil
}
