package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// relay stands in for a calling proxy: it speaks TLS with a certificate of the mesh and weft's ALPN, and says in each request which
// port of the application it is for. It passes on all else as it is, right or wrong.
type relay struct {
	l     net.Listener
	store *cert.Store
	to    netip.AddrPort
	peer  identity.ID
	all   sync.WaitGroup
}

const trustDomain = "cluster.local"

// newRelay leads to the way in of a workload's proxy.
func newRelay(ctx context.Context, m *proctest.Mesh, workload string) (*relay, error) {
	r := &relay{store: cert.NewStore(time.Now), peer: identity.Of(trustDomain, "default", "default")}
	out, err := m.Command(ctx, "status", "-o", "json")
	if err != nil {
		return nil, err
	}
	var s control.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return nil, err
	}
	for _, p := range s.Proxies {
		if p.Workload == workload {
			if r.to, err = netip.ParseAddrPort(fmt.Sprintf("%s:%d", p.Address, traffic.TunnelPort)); err != nil {
				return nil, err
			}
		}
	}
	if !r.to.IsValid() {
		return nil, fmt.Errorf("no workload %s:\n%s", workload, out)
	}
	if err := r.identify(m); err != nil {
		return nil, err
	}
	if r.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	r.all.Go(func() { r.accept(ctx) })
	return r, nil
}

// identify has the mesh's authority, whose key this run's user owns, issue a certificate.
func (r *relay) identify(m *proctest.Mesh) error {
	authority, err := ca.Load(ca.Dir(filepath.Join(m.State(), "ca")), ca.Config{TrustDomain: trustDomain})
	if err != nil {
		return err
	}
	id := identity.Of(trustDomain, "default", "relay")
	key, csr, err := cert.NewRequest(id)
	if err != nil {
		return err
	}
	issued, err := authority.Issue(csr, ca.Claim{ID: id}, time.Now())
	if err != nil {
		return err
	}
	own, err := cert.ParseIdentity(issued.Chain, key)
	if err != nil {
		return err
	}
	b := authority.Bundle()
	bundle, err := cert.ParseBundle(trustDomain, b.Sequence, bytes.Join(b.Roots, nil))
	if err != nil {
		return err
	}
	if err := r.store.SetBundles(bundle); err != nil {
		return err
	}
	return r.store.SetIdentity(own)
}

func (r *relay) addr() string { return r.l.Addr().String() }

func (r *relay) close() {
	r.l.Close()
	r.all.Wait()
}

func (r *relay) accept(ctx context.Context) {
	for {
		c, err := r.l.Accept()
		if err != nil {
			return
		}
		r.all.Go(func() { r.pass(ctx, c) })
	}
}

// pass relays one connection until both directions have ended.
func (r *relay) pass(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", r.to.String())
	if err != nil {
		return
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	up, _, err := r.store.Client(ctx, raw, r.peer, "weft/1")
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c, up) // its end is the connection's
		c.Close()
	})
	_, _ = io.Copy(up, addressed(c))
	_ = up.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second)) // h2spec reads until the proxy closes
	back.Wait()
}

// target are the header fields that a calling proxy adds, as literals that leave the compression's state alone (RFC 7541 section
// 6.2.2).
var target = literal(literal(nil, "weft-port", "8080"), "weft-proto", "http/1.1")

func literal(b []byte, name, value string) []byte {
	b = append(append(b, 0, byte(len(name))), name...)
	return append(append(b, byte(len(value))), value...)
}

// addressed adds target to each request that from sends.
func addressed(from io.Reader) io.Reader {
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(address(w, from))
	}()
	return r
}

func address(w io.Writer, from io.Reader) error {
	preface := make([]byte, len(http2.Preface))
	n, err := io.ReadFull(from, preface)
	if err != nil || string(preface) != http2.Preface {
		_, _ = w.Write(preface[:n])
		_, err = io.Copy(w, from)
		return err
	}
	_, err = w.Write(preface)
	top, open := uint32(0), uint32(0) // the highest stream so far; the one whose field section is still coming
	frame := make([]byte, http2.HeaderLen, http2.HeaderLen+1<<14)
	for err == nil {
		if n, err = io.ReadFull(from, frame[:http2.HeaderLen]); err != nil {
			_, _ = w.Write(frame[:n])
			return err
		}
		h, _ := http2.ParseFrameHeader(frame)
		whole := append(frame[:http2.HeaderLen], make([]byte, h.Length)...)
		if n, err = io.ReadFull(from, whole[http2.HeaderLen:]); err != nil {
			_, _ = w.Write(whole[:http2.HeaderLen+n])
			return err
		}
		if h.Type == http2.TypeHeaders && h.Stream > top {
			top, open = h.Stream, h.Stream
		}
		if open != 0 && open == h.Stream && h.Flags.Has(http2.FlagEndHeaders) {
			open = 0
			whole = extend(h, whole)
		}
		_, err = w.Write(whole)
	}
	return err
}

// extend adds target at the end of a field section, before the padding. A frame that is wrong stays as it is.
func extend(h http2.FrameHeader, frame []byte) []byte {
	padding := 0
	if h.Type == http2.TypeHeaders && h.Flags.Has(http2.FlagPadded) {
		if h.Length == 0 {
			return frame
		}
		padding = int(frame[http2.HeaderLen])
	}
	end := len(frame) - padding
	if end <= http2.HeaderLen || int(h.Length)+len(target) > http2.DefaultFrameSize {
		return frame
	}
	h.Length += uint32(len(target))
	out := append(h.Append(nil), frame[http2.HeaderLen:end]...)
	return append(append(out, target...), frame[end:]...)
}
