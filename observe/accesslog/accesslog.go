// Package accesslog writes a line for each record: JSON for programs, or text for people. Writing happens on a goroutine of its
// own, from a bounded queue: a slow disk or a stuck pipe never holds up a call. Lines that find the queue full are counted, and
// the next line that gets through says how many are missing.
package accesslog

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/weft-mesh/weft/observe"
)

// Format is how a line looks.
type Format string

// The formats.
const (
	JSON Format = "json"
	Text Format = "text"
)

// Options configures a log.
type Options struct {
	To     io.Writer // required; a Write gets whole lines
	Format Format    // [JSON]
	Queue  int       // lines that may wait [4096]
	// Only says which records are written. [all]
	Only func(*observe.Record) bool
}

// Log is a sink.
type Log struct {
	o     Options
	lines chan []byte
	done  chan struct{}
	lost  atomic.Uint64
	stop  sync.Once
	mu    sync.RWMutex // held for reading while a line is put into the queue
	shut  bool
}

// Start makes a log and starts its writer; Close ends it.
func Start(o Options) *Log {
	if o.Format == "" {
		o.Format = JSON
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	l := &Log{o: o, lines: make(chan []byte, o.Queue), done: make(chan struct{})}
	go l.write()
	return l
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// Take puts a line into the queue. It never blocks.
func (l *Log) Take(r *observe.Record) {
	if l.o.Only != nil && !l.o.Only(r) {
		return
	}
	b := buffers.Get().(*[]byte)
	if l.o.Format == Text {
		*b = appendText((*b)[:0], r)
	} else {
		*b = appendJSON((*b)[:0], r)
	}
	line := append([]byte(nil), *b...)
	buffers.Put(b)
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.shut {
		return
	}
	select {
	case l.lines <- line:
	default:
		l.lost.Add(1)
	}
}

// Lost returns how many lines found the queue full, and the log has not told of yet.
func (l *Log) Lost() uint64 { return l.lost.Load() }

// Close writes what waits, and ends the writer.
func (l *Log) Close() {
	l.stop.Do(func() {
		l.mu.Lock()
		l.shut = true
		l.mu.Unlock()
		close(l.lines)
	})
	<-l.done
}

// maxWrite bounds the lines that go out in one Write.
const maxWrite = 64 << 10

func (l *Log) write() {
	defer close(l.done)
	var out []byte
	for line := range l.lines {
		out = append(out[:0], line...)
		for len(out) < maxWrite && len(l.lines) > 0 {
			out = append(out, <-l.lines...)
		}
		if n := l.lost.Swap(0); n > 0 {
			out = appendLost(out, l.o.Format, n)
		}
		_, _ = l.o.To.Write(out) // there is nobody to tell
	}
}
