package stream_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/stream"
)

// wire is a transport in memory; the test is the control plane at its other end.
type wire struct {
	up   chan []byte
	down chan []byte
	gone chan struct{}
	once sync.Once
	why  error // what Recv returns once it is gone; nil: io.EOF
}

// since returns when the client has dialled, and sets what becomes of it from now on.
func (p *plane) since(refuse error) []time.Time {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.dialled
	p.dialled, p.refuse = nil, refuse
	return d
}

func newWire() *wire {
	return &wire{up: make(chan []byte, 100), down: make(chan []byte), gone: make(chan struct{})}
}

func (w *wire) Send(b []byte) error {
	select {
	case <-w.gone:
		return io.ErrClosedPipe
	case w.up <- b:
		return nil
	}
}

func (w *wire) Recv() ([]byte, error) {
	select {
	case <-w.gone:
		return nil, cmp.Or(w.why, io.EOF)
	case b := <-w.down:
		return b, nil
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.gone) })
	return nil
}

// plane hands wires to a client, and says what the client sends.
type plane struct {
	t       *testing.T
	mu      sync.Mutex
	refuse  error // of Dial
	dialled []time.Time
	wires   chan *wire

	mute    error            // what Hello answers
	refused map[string]error // what Apply answers
	applied []string
	status  []string
}

// next returns the client's next connection, after its hello, when all is at rest: what the client does then is no race.
func (p *plane) next() *wire {
	w := <-p.wires
	synctest.Wait()
	return w
}

// begin runs a client in a synctest bubble until the test ends.
func begin(t *testing.T, p *plane, prepare func(*stream.Client)) *stream.Client {
	p.t, p.wires = t, make(chan *wire, 1)
	c := &stream.Client{
		Hello: func() (stream.Hello, error) { return stream.Hello{Workload: "default/a-1", Token: "t"}, p.mute },
		Dial: func(context.Context) (stream.Transport, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.dialled = append(p.dialled, time.Now())
			if p.refuse != nil {
				return nil, p.refuse
			}
			w := newWire()
			p.wires <- w
			return w, nil
		},
		Apply: func(all []stream.Update) map[string]error {
			for _, u := range all {
				body := "gone"
				if u.Body != nil {
					body = string(u.Body)
				}
				p.applied = append(p.applied, u.Name+"="+body)
			}
			return p.refused
		},
		Status: func(err error) { p.status = append(p.status, fmt.Sprint(err)) },
	}
	if prepare != nil {
		prepare(c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	return c
}

// said returns what the client has sent since.
func (p *plane) said(w *wire) (out []stream.Up) {
	p.t.Helper()
	synctest.Wait()
	for {
		select {
		case b := <-w.up:
			var up stream.Up
			if err := stream.Unmarshal(b, &up); err != nil {
				p.t.Fatal(err)
			}
			out = append(out, up)
		default:
			return out
		}
	}
}

func (p *plane) only(w *wire) stream.Up {
	p.t.Helper()
	all := p.said(w)
	if len(all) != 1 {
		p.t.Fatalf("the client said %+v, want one message", all)
	}
	return all[0]
}

func wants(u stream.Up) map[string]uint64 {
	out := map[string]uint64{}
	for _, x := range u.Subscribe {
		out[x.Name] = x.Version
	}
	return out
}

func (p *plane) send(w *wire, d stream.Down) {
	w.down <- stream.Marshal(&d)
	synctest.Wait()
}

func resource(name, body string) stream.Resource {
	return stream.Resource{Name: name, Version: stream.VersionOf([]byte(body)), Body: []byte(body)}
}

func version(body string) uint64 { return stream.VersionOf([]byte(body)) }

func TestResumeWithVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		c := begin(t, p, func(c *stream.Client) {
			c.Want("service/a", "service/b", "service/a")
			c.Restore("service/c", []byte("C"))
		})
		w := p.next()
		up := p.only(w)
		if up.Hello == nil || up.Hello.Workload != "default/a-1" || up.Hello.Token != "t" {
			t.Errorf("%+v", up.Hello)
		}
		if got, want := wants(up), map[string]uint64{"service/a": 0, "service/b": 0, "service/c": version("C")}; !maps.Equal(got, want) {
			t.Errorf("wants %v, want %v", got, want)
		}
		p.send(w, stream.Down{}) // the greeting is not answered
		p.send(w, stream.Down{Nonce: 7, Resources: []stream.Resource{resource("service/a", "A"), {Name: "service/b", Gone: true}, resource("service/unasked", "U")}})
		if up := p.only(w); up.Ack != 7 || len(up.Refused) > 0 {
			t.Errorf("%+v", up)
		}
		if want := []string{"service/a=A", "service/b=gone", "service/unasked=U"}; !slices.Equal(p.applied, want) {
			t.Errorf("applied %q, want %q", p.applied, want)
		}
		w.Close()
		w = p.next()
		if got, want := wants(p.only(w)), map[string]uint64{"service/a": version("A"), "service/b": 0, "service/c": version("C")}; !maps.Equal(got, want) {
			t.Errorf("back again it wants %v, want %v", got, want)
		}
		if !c.Connected() {
			t.Error("it is not connected")
		}
	})
}

func TestWantAndDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		c := begin(t, p, nil)
		w := p.next()
		p.said(w)
		c.Want("service/a", "service/b")
		c.Want("service/a")
		if got := wants(p.only(w)); len(got) != 2 {
			t.Errorf("%v", got)
		}
		p.send(w, stream.Down{Nonce: 1, Resources: []stream.Resource{resource("service/a", "A"), resource("service/b", "B")}})
		p.said(w)
		c.Drop("service/a", "service/nobody")
		if up := p.only(w); !slices.Equal(up.Unsubscribe, []string{"service/a"}) || len(up.Subscribe) > 0 {
			t.Errorf("%+v", up)
		}
		p.send(w, stream.Down{Nonce: 2, Resources: []stream.Resource{resource("service/a", "A2")}}) // it was on its way
		p.said(w)
		c.Want("service/a")
		if got, want := wants(p.only(w)), map[string]uint64{"service/a": 0}; !maps.Equal(got, want) {
			t.Errorf("wanted again: %v, want %v", got, want)
		}
		w.Close()
		synctest.Wait()
		if c.Connected() {
			t.Error("it is connected")
		}
		c.Want("service/c") // while away
		c.Drop("service/b")
		c.Rests([]byte("root")) // the next hello tells it
		w = p.next()
		if got, want := wants(p.only(w)), map[string]uint64{"service/a": 0, "service/c": 0}; !maps.Equal(got, want) {
			t.Errorf("back again it wants %v, want %v", got, want)
		}
		c.Rests([]byte("root"))
		c.Rests(nil)
		if up := p.only(w); string(up.Root) != "root" {
			t.Errorf("%+v", up)
		}
	})
}

// TestWantedAgainWhileApplied: what is dropped and wanted again while an update of it is taken into use may have been forgotten with what came.
// It is no longer held then: neither before nor after the connection breaks is it said to be.
func TestWantedAgainWhileApplied(t *testing.T) {
	for name, meanwhile := range map[string]func(c *stream.Client){
		"dropped and wanted": func(c *stream.Client) { c.Drop("service/a"); c.Want("service/a") },
		"wanted":             func(c *stream.Client) { c.Want("service/a") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &plane{}
				applied := false
				begin(t, p, func(c *stream.Client) {
					if name != "wanted" {
						c.Want("service/a")
					}
					c.Apply = func([]stream.Update) map[string]error { // and forgotten, which its caller's lock would tell
						if !applied {
							meanwhile(c)
						}
						applied = true
						return nil
					}
				})
				w := p.next()
				p.said(w)
				p.send(w, stream.Down{Nonce: 1, Resources: []stream.Resource{resource("service/a", "A")}})
				if said := p.said(w); len(said) < 2 || said[len(said)-1].Ack != 1 || wants(said[len(said)-2])["service/a"] != 0 {
					t.Errorf("%+v", said)
				}
				w.Close()
				w = p.next()
				if got, want := wants(p.only(w)), map[string]uint64{"service/a": 0}; !maps.Equal(got, want) {
					t.Errorf("it says that it has %v, want %v", got, want)
				}
				p.send(w, stream.Down{Nonce: 1, Resources: []stream.Resource{resource("service/a", "A")}})
				w.Close()
				w = p.next()
				if got, want := wants(p.only(w)), map[string]uint64{"service/a": version("A")}; !maps.Equal(got, want) {
					t.Errorf("then it says that it has %v, want %v", got, want)
				}
			})
		})
	}
}

// TestUpdatesComeInOrder: no connection is begun while an update of the last one is taken into use, which could then come after a newer one.
func TestUpdatesComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		goOn := make(chan bool)
		begin(t, p, func(c *stream.Client) {
			c.Want("service/a")
			apply := c.Apply
			c.Apply = func(all []stream.Update) map[string]error { <-goOn; return apply(all) }
		})
		w := p.next()
		p.since(nil)
		p.send(w, stream.Down{Nonce: 1, Resources: []stream.Resource{resource("service/a", "A1")}})
		w.Close()
		time.Sleep(time.Hour)
		if again := p.since(nil); len(again) > 0 {
			t.Error("it connects while an update is taken into use")
		}
		goOn <- true
		w = p.next()
		if got := wants(p.only(w))["service/a"]; got != version("A1") {
			t.Errorf("it says that it has %x of what it took into use", got)
		}
		p.send(w, stream.Down{Nonce: 1, Resources: []stream.Resource{resource("service/a", "A2")}})
		goOn <- true
		synctest.Wait()
		if want := []string{"service/a=A1", "service/a=A2"}; !slices.Equal(p.applied, want) {
			t.Errorf("applied %q, want %q", p.applied, want)
		}
	})
}

func TestRefusedUpdatesKeepTheOldVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		begin(t, p, func(c *stream.Client) { c.Want("service/a", "service/b") })
		w := p.next()
		p.said(w)
		p.send(w, stream.Down{Nonce: 1, Resources: []stream.Resource{resource("service/a", "A1"), resource("service/b", "B1")}})
		p.said(w)
		p.refused = map[string]error{"service/b": errors.New("regex: missing closing ]"), "service/a": errors.New("no")}
		p.send(w, stream.Down{Nonce: 2, Resources: []stream.Resource{resource("service/a", "A2"), resource("service/b", "B2")}})
		up := p.only(w)
		if want := []stream.Nack{{Name: "service/a", Error: "no"}, {Name: "service/b", Error: "regex: missing closing ]"}}; up.Ack != 2 || !slices.Equal(up.Refused, want) {
			t.Errorf("%+v, want %v refused", up, want)
		}
		p.refused = map[string]error{"service/b": errors.New("no")}
		p.send(w, stream.Down{Nonce: 3, Resources: []stream.Resource{resource("service/a", "A3"), resource("service/b", "B3")}})
		w.Close()
		w = p.next()
		if got, want := wants(p.only(w)), map[string]uint64{"service/a": version("A3"), "service/b": version("B1")}; !maps.Equal(got, want) {
			t.Errorf("it says that it has %v, want %v", got, want)
		}
	})
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{refuse: errors.New("no such file or directory")}
		begin(t, p, nil)
		time.Sleep(20 * time.Second)
		var pauses []time.Duration
		at := p.since(nil)
		for i := range at[1:] {
			pauses = append(pauses, at[i+1].Sub(at[i]))
		}
		if pauses[0] != 50*time.Millisecond || pauses[1] != 100*time.Millisecond || slices.Max(pauses) != 2*time.Second || !slices.IsSorted(pauses) {
			t.Errorf("pauses %v", pauses)
		}
		if len(p.status) != 1 || !strings.Contains(p.status[0], "is the control plane running?") || !strings.Contains(p.status[0], "no such file") {
			t.Errorf("told %q, want why, once", p.status)
		}
		w := p.next()
		p.send(w, stream.Down{})
		time.Sleep(10 * time.Second)
		p.since(nil)
		was := time.Now()
		w.Close()
		p.next()
		if got := p.since(nil)[0].Sub(was); got != 50*time.Millisecond {
			t.Errorf("after a connection that stood it waits %v", got)
		}
	})
}

// A control plane that takes connections and lets nobody in is told of once, not with each attempt.
func TestStatusIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		begin(t, p, nil)
		for range 5 {
			p.next().Close()
		}
		if len(p.status) != 1 {
			t.Errorf("told %q", p.status)
		}
		w := p.next()
		p.send(w, stream.Down{})
		w.Close()
		w = p.next()
		p.send(w, stream.Down{Nonce: 1}) // without a greeting too
		if want := []string{p.status[0], "<nil>", p.status[0], "<nil>"}; !slices.Equal(p.status, want) {
			t.Errorf("told %q, want %q", p.status, want)
		}
	})
}

// A control plane that hands its proxies to another replica is not away, and nobody waits for longer than at first.
func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		begin(t, p, nil)
		w := p.next()
		p.send(w, stream.Down{})
		p.since(nil)
		was := time.Now()
		w.why = fmt.Errorf("over: %w", stream.ErrMoved)
		w.Close()
		w = p.next()
		if got := p.since(nil)[0].Sub(was); got != 50*time.Millisecond || !slices.Equal(p.status, []string{"<nil>"}) {
			t.Errorf("it waits %v and tells %q", got, p.status)
		}
		w.why = stream.ErrMoved // by one that did not let it in
		w.Close()
		p.next()
		if len(p.status) != 2 || !strings.Contains(p.status[1], "connect again") {
			t.Errorf("told %q", p.status)
		}
	})
}

// A proxy that cannot prove whom it serves sends nothing, and tries again.
func TestNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{mute: errors.New("token: no such file or directory")}
		begin(t, p, nil)
		w := p.next()
		select {
		case b := <-w.up:
			t.Errorf("it says %q", b)
		case <-w.gone:
		}
		if len(p.status) != 1 || !strings.Contains(p.status[0], "no such file") {
			t.Errorf("told %q", p.status)
		}
	})
}

func TestBadMessageEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		begin(t, p, func(c *stream.Client) { c.Want("service/a") })
		w := p.next()
		p.said(w)
		w.down <- []byte{0x08}
		w = p.next()
		if got := wants(p.only(w)); len(got) != 1 || len(p.applied) > 0 {
			t.Errorf("wants %v, applied %q", got, p.applied)
		}
		if !strings.Contains(p.status[len(p.status)-1], "cannot read") {
			t.Errorf("told %q", p.status)
		}
	})
}

// The bodies that Apply gets are its own: a transport lends its messages.
func TestBodiesAreCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []byte
		p := &plane{}
		begin(t, p, func(c *stream.Client) {
			c.Want("service/a")
			c.Apply = func(all []stream.Update) map[string]error {
				kept = all[0].Body
				return nil
			}
		})
		w := p.next()
		b := stream.Marshal(&stream.Down{Nonce: 1, Resources: []stream.Resource{resource("service/a", "A"), {Name: "empty", Version: 1}}})
		w.down <- b
		synctest.Wait()
		clear(b)
		if string(kept) != "A" {
			t.Errorf("%q", kept)
		}
	})
}

func FuzzDown(f *testing.F) {
	f.Add(stream.Marshal(&stream.Down{Nonce: 3, Resources: []stream.Resource{resource("service/a", "A"), {Name: "b", Gone: true}}}))
	f.Add([]byte{0x12, 0x00, 0x12, 0x02, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) { again[stream.Down](t, b) })
}

func FuzzUp(f *testing.F) {
	f.Add(stream.Marshal(&stream.Up{Hello: &stream.Hello{Workload: "a/b", Token: "t", Version: "v", Root: []byte("r")}, Subscribe: []stream.Want{{Name: "x", Version: 1 << 63}},
		Unsubscribe: []string{"y"}, Ack: 9, Refused: []stream.Nack{{Name: "x", Error: "e"}}, Root: []byte("r")}))
	f.Add([]byte{0x22, 0x00, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) { again[stream.Up](t, b) })
}

func FuzzCertify(f *testing.F) {
	f.Add(stream.Marshal(&stream.CertifyRequest{Workload: "a/b", Token: "t", CSR: []byte{0x30}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		again[stream.CertifyRequest](t, b)
		again[stream.CertifyResponse](t, b)
	})
}

// again: what can be read can be written, and is the same then.
func again[T any](t *testing.T, b []byte) {
	one, two := new(T), new(T)
	if stream.Unmarshal(b, one) != nil {
		return
	}
	out := stream.Marshal(one)
	if err := stream.Unmarshal(out, two); err != nil {
		t.Fatalf("%v of what was just written", err)
	}
	if string(stream.Marshal(two)) != string(out) {
		t.Errorf("%+v became %+v", one, two)
	}
}

func TestVersions(t *testing.T) {
	if stream.VersionOf(nil) == 0 || stream.VersionOf([]byte("a")) == stream.VersionOf([]byte("b")) {
		t.Error("a version is 0, or no hash")
	}
}
