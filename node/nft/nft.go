// Package nft says nftables rules in a few words: parts that match, one after the other, and at the end what becomes of the packet. It
// holds what weft's own rules need, and knows no kernel: github.com/google/nftables loads what is made of them.
package nft

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// Numbers of protocols that rules compare with (linux/in.h).
const (
	TCP = 6
	UDP = 17
)

// The families that a table of both tells packets apart by (linux/netfilter.h).
const (
	ipv4 = 2
	ipv6 = 10
)

// DestNAT is the bit of a connection whose destination was changed (IPS_DST_NAT).
const DestNAT = 1 << 5

// Loopback is the device's name.
const Loopback = "lo"

// Part is one match, or what is done: it goes on to the next one only if it matches.
type Part []expr.Any

// Rule puts parts one after the other.
func Rule(parts ...Part) (all []expr.Any) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// What is done with a packet.
var (
	Accept = Part{&expr.Verdict{Kind: expr.VerdictAccept}}
	Drop   = Part{&expr.Verdict{Kind: expr.VerdictDrop}}
)

// To matches packets whose destination is in a range.
func To(p netip.Prefix) Part { return destination(p, expr.CmpOpEq) }

// NotTo matches packets of the range's family whose destination is outside of it.
func NotTo(p netip.Prefix) Part { return destination(p, expr.CmpOpNeq) }

func destination(p netip.Prefix, op expr.CmpOp) Part {
	addr := p.Masked().Addr().AsSlice()
	family, offset := byte(ipv4), uint32(16) // of the destination in an IPv4 header; RFC 791 section 3.1
	if p.Addr().Is6() {
		family, offset = ipv6, 24 // RFC 8200 section 3
	}
	size := uint32(len(addr))
	return Part{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask(p.Bits(), int(size)), Xor: make([]byte, size)},
		&expr.Cmp{Op: op, Register: 1, Data: addr},
	}
}

func mask(bits, size int) []byte {
	m := make([]byte, size)
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// Proto matches packets of a protocol.
func Proto(number byte) Part {
	return Part{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// ToPorts matches destination ports of TCP and UDP, from the first to the last.
func ToPorts(first, last uint16) Part {
	from, to := binaryutil.BigEndian.PutUint16(first), binaryutil.BigEndian.PutUint16(last)
	return Part{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: from, ToData: to},
	}
}

// ToPort matches one of them.
func ToPort(port uint16) Part {
	return Part{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}

// From matches packets that came in by a device.
func From(device string) Part { return named(expr.MetaKeyIIFNAME, device) }

// By matches packets that go out by a device.
func By(device string) Part { return named(expr.MetaKeyOIFNAME, device) }

// named compares a name as the kernel has it: 16 bytes (IFNAMSIZ), filled up with zeros.
func named(key expr.MetaKey, device string) Part {
	name := make([]byte, 16)
	copy(name, device)
	return Part{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name}}
}

// Owner matches packets of sockets that a user has opened.
func Owner(uid uint32) Part {
	return Part{
		&expr.Meta{Key: expr.MetaKeySKUID, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(uid)},
	}
}

// State matches packets of connections in one of the states: expr.CtStateBit... .
func State(bits uint32) Part { return tracked(expr.CtKeySTATE, bits) }

// Status matches packets of connections to which one of the bits was given.
func Status(bits uint32) Part { return tracked(expr.CtKeySTATUS, bits) }

func tracked(key expr.CtKey, bits uint32) Part {
	return Part{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// RedirectTo sends a connection to a port of this machine: at its loopback address if it was begun here, else at that of the device by
// which it came.
func RedirectTo(port uint16) Part {
	return Part{
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
		&expr.Redir{RegisterProtoMin: 1},
	}
}
