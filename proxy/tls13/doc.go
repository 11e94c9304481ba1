// Package tls13 carries a TLS 1.3 connection on after crypto/tls has made its handshake: what it holds while it idles, and writes and reads of
// many records at once.
//
// A Conn is a net.Conn that holds two traffic secrets and the numbers of the next records, and beyond these nothing while it idles: neither
// certificates nor buffers nor, when it rests (Conn.Rest), ciphers. What is written goes out four full records to a system call; what is read
// is opened where it was read to, in the reader's own buffer if a record fits, so that a read takes as many records as there are.
//
// Bounds on what a peer can make a Conn do: one record is held that is not whole, in a buffer of 64 KiB at most, and Conn.Partial tells who
// keeps the time; of handshake messages four bytes; 16 records one after the other may bring no data (KeyUpdate, tickets, empty ones), as
// crypto/tls has it; a KeyUpdate that wants one of us is answered before the next data and not at once, so that many cost one.
//
// # Errors
//
// A peer that breaks the protocol gets the alert that RFC 8446 names, and whoever reads a *record.Error. An alert of the peer's is a
// *net.OpError ("remote error") around a record.Alert. The end of the socket without close_notify is io.EOF between two records, as
// crypto/tls has it, and io.ErrUnexpectedEOF inside of one: what is spoken here has ends of its own (HTTP/2).
package tls13
