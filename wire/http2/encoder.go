package http2

import "hash/maphash"

// Encoder compresses field sections of one connection (RFC 7541). Fields must be appended in the order in which they are
// sent. The zero value is not ready: use NewEncoder.
type Encoder struct {
	// Huffman compresses strings that get shorter by it. Inside a data centre it costs more than it saves.
	Huffman bool

	table   table
	limit   uint32 // what we are ready to spend
	changed bool   // the maximum, since the last block
	emptied bool   // it changed twice
	seed    maphash.Seed
	byName  []uint32 // newest entry by hash of the name, and
	byField []uint32 // of name and value; entries link to older ones
}

// NewEncoder makes an encoder whose dynamic table takes at most limit bytes, and at most the protocol's default of 4096
// until SetMaxTableSize has been told what the peer allows.
func NewEncoder(limit uint32) *Encoder {
	return &Encoder{limit: limit, table: table{max: min(limit, DefaultTableSize)}, seed: maphash.MakeSeed()}
}

// DefaultTableSize is the maximum of a dynamic table before any SETTINGS.
const DefaultTableSize = 4096

// SetMaxTableSize obeys the peer's SETTINGS_HEADER_TABLE_SIZE; the next block announces the change (section 4.2: the smallest
// maximum since the last block, then the final one). Where there are two, the first is 0: x/net's decoder takes a second
// update only while its table is empty.
func (e *Encoder) SetMaxTableSize(max uint32) {
	max = min(max, e.limit)
	if max == e.table.max {
		return
	}
	if e.changed {
		e.emptied = true
		e.table.resize(0)
	}
	e.changed = true
	e.table.resize(max)
}

// Forget gives up the memory of the table, and has the peer do so with the next block.
func (e *Encoder) Forget() {
	if e.table.inserted == 0 {
		return
	}
	e.table = table{max: e.table.max}
	e.byName, e.byField = nil, nil
	e.changed, e.emptied = true, true
}

// AppendStart begins a block: it announces changes of the table's size.
func (e *Encoder) AppendStart(b []byte) []byte {
	if !e.changed {
		return b
	}
	if e.emptied {
		b = appendInteger(b, 0x20, 5, 0)
	}
	e.changed, e.emptied = false, false
	return appendInteger(b, 0x20, 5, e.table.max)
}

// AppendField writes one field. Secret ones, by name or because secret says so, are never indexed.
func (e *Encoder) AppendField(b []byte, name, value string, secret bool) []byte {
	k := lookupName(name)
	for i := k.static; !secret && i > 0 && int(i) < len(staticTable) && staticTable[i].Name == name; i++ {
		if staticTable[i].Value == value && value != "" {
			return appendInteger(b, 0x80, 7, uint32(i))
		}
	}
	how := k.how
	switch {
	case secret:
		how = never
	case how == indexed && uint32(len(name)+len(value)) > e.table.max/4:
		how = plain // one such field would push out most of the others
	case name == ":path" && changing(value):
		how = plain
	}
	if how != indexed {
		return e.appendLiteral(b, how, uint32(k.static), name, value)
	}
	return e.appendIndexed(b, uint32(k.static), name, value)
}

// changing guesses that a path will not come again soon: it has a query.
func changing(path string) bool {
	for i := range len(path) {
		if path[i] == '?' {
			return true
		}
	}
	return false
}

func (e *Encoder) appendIndexed(b []byte, index uint32, name, value string) []byte {
	if e.byName == nil {
		e.byName, e.byField = make([]uint32, 128), make([]uint32, 128)
	}
	nameHash := maphash.String(e.seed, name)
	hash := nameHash*0x9e3779b97f4a7c15 ^ maphash.String(e.seed, value)
	field, byName := &e.byField[hash%128], &e.byName[nameHash%128]
	t := &e.table
	for n := *field; n != 0 && t.alive(n); n = t.get(n).byField {
		if x := t.get(n); x.hash == hash && string(t.name(x)) == name && string(t.value(x)) == value {
			return appendInteger(b, 0x80, 7, e.index(n))
		}
	}
	for n := *byName; index == 0 && n != 0 && t.alive(n); n = t.get(n).byName {
		if string(t.name(t.get(n))) == name {
			index = e.index(n)
		}
	}
	b = e.appendLiteral(b, indexed, index, name, value)
	if x := t.add(name, value); x != nil {
		x.hash, x.byField, x.byName = hash, *field, *byName
		*field, *byName = t.inserted, t.inserted
	}
	return b
}

func (e *Encoder) index(n uint32) uint32 { return staticLen + 1 + e.table.inserted - n }

var literalPrefix = [...]struct {
	first byte
	bits  uint
}{indexed: {0x40, 6}, plain: {0x00, 4}, never: {0x10, 4}}

func (e *Encoder) appendLiteral(b []byte, how indexing, index uint32, name, value string) []byte {
	p := literalPrefix[how]
	b = appendInteger(b, p.first, p.bits, index)
	if index == 0 {
		b = e.appendString(b, name)
	}
	return e.appendString(b, value)
}

func (e *Encoder) appendString(b []byte, s string) []byte {
	if e.Huffman {
		if n := huffmanLen(s); n < len(s) {
			return appendHuffman(appendInteger(b, 0x80, 7, uint32(n)), s)
		}
	}
	return append(appendInteger(b, 0, 7, uint32(len(s))), s...)
}
