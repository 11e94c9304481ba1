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

// since returns the records from number n on, and what is closed when there are more.
func (s *records) since(n int) ([]observe.Record, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return slices.Clone(s.kept[n:]), s.more
}

func (s *records) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// await returns the first record from number n on that is meets, waiting for it; nil: it did not come.
func (s *records) await(ctx context.Context, n int, is func(*observe.Record) bool) *observe.Record {
	for {
		got, more := s.since(n)
		if i := slices.IndexFunc(got, func(r observe.Record) bool { return is(&r) }); i >= 0 {
			return &got[i]
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}
