// Package accesslog writes a line for each record: JSON for programs, or text for people. Writing happens on a goroutine of its
// own, from a bounded buffer: a slow disk or a stuck pipe never holds up a call. Lines that find the buffer full are counted, and
// the next line that gets through says how many are missing.
//
// A record is one line, whatever its caller or callee says. No header but x-request-id and the authority is in it, no query, and
// no body; texts are cut after a bound.
package accesslog

import (
	"bytes"
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

// Options configures a log. Zero fields take the value in brackets.
type Options struct {
	To     io.Writer // required; a Write gets whole lines
	Format Format    // [JSON]
	Queue  int       // bytes of lines that may wait, beside those that are being written [1 MiB]
	// Only says which records are written. [all]
	Only func(*observe.Record) bool
}

// Log is a sink.
type Log struct {
	o    Options
	more chan struct{} // of one: something waits
	done chan struct{}
	lost atomic.Uint64

	mu     sync.Mutex
	wait   []byte // whole lines
	untold uint64 // lines lost that the log has not told of
	shut   bool
}

// Start makes a log and starts its writer; Close ends it.
func Start(o Options) *Log {
	if o.Format == "" {
		o.Format = JSON
	}
	if o.Queue <= 0 {
		o.Queue = 1 << 20
	}
	l := &Log{o: o, more: make(chan struct{}, 1), done: make(chan struct{})}
	go l.write()
	return l
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// Take has a line written. It never waits for the writer.
func (l *Log) Take(r *observe.Record) {
	if l.o.Only != nil && !l.o.Only(r) {
		return
	}
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	if l.o.Format == Text {
		*b = appendText((*b)[:0], r)
	} else {
		*b = appendJSON((*b)[:0], r)
	}
	l.put(*b)
}

func (l *Log) put(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut || len(l.wait)+len(line) > l.o.Queue {
		l.untold++
		l.lost.Add(1)
	} else {
		l.wait = append(l.wait, line...)
	}
	l.wake()
}

func (l *Log) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// Lost returns how many lines were not written: the buffer was full, the log was closed, or To failed.
func (l *Log) Lost() uint64 { return l.lost.Load() }

// Close writes what waits, and ends the writer. What comes later is lost.
func (l *Log) Close() {
	l.mu.Lock()
	l.shut = true
	l.mu.Unlock()
	l.wake()
	<-l.done
}

// maxIdle bounds what an idle log keeps of its buffers.
const maxIdle = 64 << 10

func (l *Log) write() {
	defer close(l.done)
	var out []byte
	for range l.more {
		var last bool
		if out, last = l.take(out); len(out) > 0 {
			if n, err := l.o.To.Write(out); err != nil { // there is nobody else to tell
				l.lose(uint64(bytes.Count(out[n:], []byte{'\n'})))
			}
		}
		if last {
			return
		}
		if cap(out) > maxIdle {
			out = nil
		}
	}
}

// take swaps what waits for an empty buffer.
func (l *Log) take(empty []byte) (out []byte, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out, l.wait = l.wait, empty[:0]
	if l.untold > 0 {
		out = appendLost(out, l.o.Format, l.untold)
		l.untold = 0
	}
	return out, l.shut
}

func (l *Log) lose(lines uint64) {
	l.lost.Add(lines)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.untold += lines
}
