package http2

var (
	errTruncated = connError(CompressionError, "field block ends inside a field")
	errInteger   = connError(CompressionError, "integer too large")
	errHuffman   = connError(CompressionError, "malformed Huffman code")
	errIndex     = connError(CompressionError, "index beyond the tables")
	errResize    = connError(CompressionError, "table size update above the limit or after a field")
)

// Decoder reads the field blocks of one connection (RFC 7541).
type Decoder struct {
	table table
	limit uint32
}

// NewDecoder makes a decoder whose peer may use a dynamic table of limit bytes: what our SETTINGS_HEADER_TABLE_SIZE says.
func NewDecoder(limit uint32) *Decoder {
	return &Decoder{limit: limit, table: table{max: min(limit, DefaultTableSize)}}
}

// Decode appends the fields of a whole block to s. An error is one of the connection (COMPRESSION_ERROR): the state is lost.
// A section above s.Limit is not an error here, see Section.TooLarge.
func (d *Decoder) Decode(block []byte, s *Section) error {
	block, err := d.resize(block)
	for len(block) > 0 && err == nil {
		switch c := block[0]; {
		case c >= 0x80:
			block, err = d.indexedField(block, s)
		case c >= 0x40:
			block, err = d.literal(block, 6, indexed, s)
		case c >= 0x20:
			return errResize
		case c >= 0x10:
			block, err = d.literal(block, 4, never, s)
		default:
			block, err = d.literal(block, 4, plain, s)
		}
	}
	return err
}

// resize obeys the size updates, which "MUST occur at the beginning of the first header block following the change"
// (section 4.2).
func (d *Decoder) resize(block []byte) ([]byte, error) {
	for len(block) > 0 && block[0]&0xe0 == 0x20 {
		n, rest, err := parseInteger(block, 5)
		if err != nil {
			return nil, err
		}
		if n > d.limit {
			return nil, errResize
		}
		d.table.resize(n)
		block = rest
	}
	return block, nil
}

func (d *Decoder) indexedField(block []byte, s *Section) ([]byte, error) {
	i, block, err := parseInteger(block, 7)
	if err != nil {
		return nil, err
	}
	if i == 0 {
		return nil, errIndex
	}
	if i <= staticLen {
		s.add(staticTable[i])
		return block, nil
	}
	e, err := d.entry(i)
	if err != nil {
		return nil, err
	}
	if s.TooLarge {
		return block, nil
	}
	s.add(Field{Name: s.keep(d.table.name(e)), Value: s.keep(d.table.value(e))})
	return block, nil
}

func (d *Decoder) entry(i uint32) (*entry, error) {
	if i -= staticLen; i > d.table.live {
		return nil, errIndex
	}
	return d.table.get(d.table.inserted - i + 1), nil
}

func (d *Decoder) literal(block []byte, bits uint, how indexing, s *Section) ([]byte, error) {
	at := len(s.buf)
	f := Field{Never: how == never}
	i, block, err := parseInteger(block, bits)
	if err != nil {
		return nil, err
	}
	switch {
	case i == 0:
		f.Name, block, err = parseString(block, s)
	case i <= staticLen:
		f.Name = staticTable[i].Name
	default:
		var e *entry
		if e, err = d.entry(i); err == nil {
			f.Name = s.keep(d.table.name(e))
		}
	}
	if err != nil {
		return nil, err
	}
	if f.Value, block, err = parseString(block, s); err != nil {
		return nil, err
	}
	if how == indexed {
		d.table.add(f.Name, f.Value)
	}
	if s.add(f); s.TooLarge {
		s.buf = s.buf[:min(at, len(s.buf))] // nobody holds the strings: memory stays within the limit
	}
	return block, nil
}

// parseString reads a string literal (section 5.2) into the section's memory.
func parseString(block []byte, s *Section) (string, []byte, error) {
	if len(block) == 0 {
		return "", nil, errTruncated
	}
	coded := block[0] >= 0x80
	n, block, err := parseInteger(block, 7)
	if err != nil {
		return "", nil, err
	}
	if uint64(n) > uint64(len(block)) {
		return "", nil, errTruncated
	}
	if !coded {
		return s.keep(block[:n]), block[n:], nil
	}
	s.need(int(n)*8/5 + 1) // the shortest code has 5 bits
	at := len(s.buf)
	s.buf, err = appendDecoded(s.buf, block[:n])
	return lend(s.buf[at:]), block[n:], err
}
