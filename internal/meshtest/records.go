package meshtest

import (
	"context"
	"slices"
	"sync"

	"github.com/weft-mesh/weft/observe"
)

// records is the sink of all proxies. It keeps copies.
type records struct {
	mu   sync.Mutex
	kept []observe.Record
	more chan struct{} // closed and made anew at each record
}

// Take implements observe.Sink.
func (s *records) Take(r *observe.Record) {
	c := r.Clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, c)
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
}

func (s *records) all() []observe.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept)
}

// find returns a copy of the first record from number n on that is meets, else how many there are and what is closed when there
// are more.
func (s *records) find(n int, is func(*observe.Record) bool) (found *observe.Record, seen int, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; n < len(s.kept); n++ {
		if is(&s.kept[n]) {
			r := s.kept[n]
			return &r, n, nil
		}
	}
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return nil, n, s.more
}

func (s *records) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// await returns the first record from number n on that is meets, waiting for it; nil: it did not come.
func (s *records) await(ctx context.Context, n int, is func(*observe.Record) bool) *observe.Record {
	for {
		found, seen, more := s.find(n, is)
		if found != nil {
			return found
		}
		select {
		case <-more:
			n = seen
		case <-ctx.Done():
			return nil
		}
	}
}
