package h2

// worker is a goroutine that serves one stream after the other. A new goroutine for each would grow its stack for each:
// measured, a third of the cost of a small call.
type worker struct{ next chan *Stream }

// maxIdle bounds the workers that wait.
const maxIdle = 64

// employ has a worker serve the stream. Called with the lock.
func (s *Server) employ(st *Stream) {
	n := len(s.idle)
	if n == 0 {
		s.wg.Add(1)
		go s.work(&worker{make(chan *Stream, 1)}, st)
		return
	}
	w := s.idle[n-1]
	s.idle = s.idle[:n-1]
	s.spare = min(s.spare, n-1)
	w.next <- st
}

// work serves streams until there is no use for it.
func (s *Server) work(w *worker, st *Stream) {
	defer s.wg.Done()
	for st != nil {
		st.run()
		s.mu.Lock()
		if s.err != nil || len(s.idle) == maxIdle {
			s.mu.Unlock()
			return
		}
		s.idle = append(s.idle, w)
		s.mu.Unlock()
		st = <-w.next
	}
}

// dismiss ends n workers that wait: those that have waited longest. Called with the lock.
func (s *Server) dismiss(n int) {
	for _, w := range s.idle[:n] {
		w.next <- nil
	}
	s.idle = append(s.idle[:0], s.idle[n:]...)
	s.spare = len(s.idle)
}
