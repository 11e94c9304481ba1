package stream

import "weak"

// Bodies are those of one resource, by the class of proxies that they are for. Bytes are kept for as long as somebody has them, as who waits to
// send them: thereafter the collector takes them, since those of 10,000 services are 20 MB; versions stay. Most resources have one class, and a
// map has room for eight at least. The zero Bodies is empty.
type Bodies[C comparable] struct {
	class C
	one   kept
	more  map[C]kept
}

type kept struct {
	version uint64
	body    weak.Pointer[Body]
}

// Get returns the body for a class, without bytes if its version is held; nil: it is to be made.
func (b *Bodies[C]) Get(c C, held uint64) *Body {
	k := b.more[c]
	if c == b.class {
		k = b.one
	}
	if k.version != 0 && k.version == held {
		return &Body{Version: held}
	}
	return k.body.Value()
}

// Add takes in a body that has been made.
func (b *Bodies[C]) Add(c C, body *Body) {
	now := kept{body.Version, weak.Make(body)}
	switch {
	case b.one.version == 0 || c == b.class:
		b.class, b.one = c, now
	case b.more == nil:
		b.more = map[C]kept{c: now}
	default:
		b.more[c] = now
	}
}

// Len is for how many classes there are some.
func (b *Bodies[C]) Len() int {
	if b.one.version == 0 {
		return 0
	}
	return 1 + len(b.more)
}
