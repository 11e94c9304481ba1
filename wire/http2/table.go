package http2

// fieldOverhead is what an entry counts beyond its bytes (RFC 7541 section 4.1).
const fieldOverhead = 32

// table is a dynamic table. Entries are numbered by insertion, from 1; their bytes stand one after the other in buf, dead
// ones before the living, so that inserting costs a copy and no allocation once buf has grown to twice the table's size.
type table struct {
	size, max uint32 // as section 4.1 counts
	buf       []byte
	entries   []entry // ring of a power of two
	inserted  uint32  // number of the newest entry
	live      uint32
}

type entry struct {
	at, name, value uint32 // offset in buf and lengths
	byName, byField uint32 // encoder: the entry before this one in the same bucket
	hash            uint64
}

func (e *entry) size() uint32 { return e.name + e.value + fieldOverhead }

// get returns the entry of that number, which is alive.
func (t *table) get(n uint32) *entry { return &t.entries[n&uint32(len(t.entries)-1)] }

func (t *table) alive(n uint32) bool { return t.inserted-n < t.live }

func (t *table) name(e *entry) []byte { return t.buf[e.at : e.at+e.name] }

func (t *table) value(e *entry) []byte { return t.buf[e.at+e.name : e.at+e.name+e.value] }

// resize sets the maximum and evicts (section 4.3).
func (t *table) resize(max uint32) {
	t.max = max
	t.evict(0)
}

func (t *table) evict(room uint32) {
	for t.live > 0 && t.size+room > t.max {
		t.size -= t.get(t.inserted - t.live + 1).size()
		t.live--
	}
}

// add inserts a field; one larger than the table empties it and is not kept, which is no error (section 4.4).
func (t *table) add(name, value string) *entry {
	size := uint64(len(name)) + uint64(len(value)) + fieldOverhead
	if size > uint64(t.max) {
		t.live, t.size = 0, 0
		return nil
	}
	t.evict(uint32(size))
	t.room(len(name) + len(value))
	if int(t.live) == len(t.entries) {
		t.grow()
	}
	t.inserted++
	t.live++
	t.size += uint32(size)
	e := t.get(t.inserted)
	*e = entry{at: uint32(len(t.buf)), name: uint32(len(name)), value: uint32(len(value))}
	t.buf = append(append(t.buf, name...), value...)
	return e
}

// room makes place for n bytes: it moves the living to the front once the dead take half of the buffer.
func (t *table) room(n int) {
	if len(t.buf)+n <= cap(t.buf) {
		return
	}
	first := len(t.buf)
	if t.live > 0 {
		first = int(t.get(t.inserted - t.live + 1).at)
	}
	alive := t.buf[first:]
	into := t.buf[:0]
	if first < cap(t.buf)/2 || len(alive)+n > cap(t.buf) {
		into = make([]byte, 0, min(max(2*cap(t.buf), 512), int(2*t.max))+n)
	}
	t.buf = append(into, alive...)
	for i := range t.live {
		t.get(t.inserted - i).at -= uint32(first)
	}
}

func (t *table) grow() {
	old := t.entries
	t.entries = make([]entry, max(16, 2*len(old)))
	for i := range t.live {
		n := t.inserted - i
		*t.get(n) = old[n&uint32(len(old)-1)]
	}
}
