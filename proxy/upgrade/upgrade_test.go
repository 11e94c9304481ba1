package upgrade

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/internal/sys"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair is a starter's socket to a process, and what the process makes of it.
func pair(t *testing.T) (theirs *net.UnixConn, s *Starter) {
	t.Helper()
	theirs, f, err := sys.SocketPair("starter")
	must(t, err)
	s, err = Reach(f)
	must(t, err)
	t.Cleanup(func() { theirs.Close(); s.c.Close() })
	return theirs, s
}

// begin has a process ask for another, and returns both ends of their conversation.
func begin(t *testing.T) (old *Successor, conversation *os.File) {
	t.Helper()
	theirs, s := pair(t)
	got := make(chan *os.File, 1)
	go Requests(theirs, func(r Request, f *os.File) {
		if r != Start {
			t.Errorf("it asks %c", r)
		}
		got <- f
	})
	old, err := s.Start()
	must(t, err)
	t.Cleanup(func() { old.Close() })
	return old, <-got
}

// TestLegacyArrivesWhole: more descriptors than one message may carry, and more bytes than one packet.
func TestLegacyArrivesWhole(t *testing.T) {
	old, conversation := begin(t)
	l := &Legacy{Config: []byte(`{"workload":"default/a-1"}`), State: bytes.Repeat([]byte("secret"), 100_000), FDs: map[int]int{}}
	for i := range 2*sys.MaxFDs + 7 {
		r, w, err := os.Pipe()
		must(t, err)
		defer r.Close()
		defer w.Close()
		_, err = w.Write([]byte{byte(i), byte(i >> 8)})
		must(t, err)
		fd, err := sys.Duplicate(r)
		must(t, err)
		defer sys.CloseFD(fd)
		l.FDs[i*3] = fd
	}
	done := make(chan error, 1)
	var counted [][]byte
	go func() {
		p, got, err := Take(conversation)
		if err == nil {
			err = check(l, got)
		}
		if err != nil {
			if p != nil {
				p.Fail(err)
			}
			done <- err
			return
		}
		err = p.Serves()
		done <- errors.Join(err, p.Counts(func(b []byte) { counted = append(counted, b) }))
	}()
	must(t, old.Await(t.Context(), l))
	must(t, old.Count([]byte("one")))
	must(t, old.Count(nil))
	long := bytes.Repeat([]byte("long"), packet)
	must(t, old.Count(long))
	must(t, old.Close())
	must(t, <-done)
	if !slices.EqualFunc(counted, [][]byte{[]byte("one"), nil, long}, bytes.Equal) {
		t.Errorf("%d counts arrive", len(counted))
	}
}

// check looks whether each name stands for what it was.
func check(sent, got *Legacy) error {
	if !bytes.Equal(sent.State, got.State) || !bytes.Equal(sent.Config, got.Config) || !slices.Equal(slices.Sorted(maps.Keys(sent.FDs)), slices.Sorted(maps.Keys(got.FDs))) {
		return errors.New("something else arrived")
	}
	for name, fd := range got.FDs {
		f, err := sys.DuplicateFile(fd, "passed")
		if err != nil {
			return err
		}
		var b [2]byte
		_, err = f.Read(b[:])
		f.Close()
		sys.CloseFD(fd)
		if err != nil || int(b[0])|int(b[1])<<8 != name/3 {
			return errors.Join(errors.New("a descriptor stands under another name"), err)
		}
	}
	return nil
}

// TestWhyNot: the old process hears why there is no new one, whoever says so and whatever it had said itself before.
func TestWhyNot(t *testing.T) {
	for _, x := range []struct {
		name string
		new  func(conversation *os.File)
		want string
	}{
		{"the starter refuses", func(f *os.File) { Refuse(f, errors.New("no such file")) }, "start a new process: no such file"},
		{"the new process says so", func(f *os.File) {
			p, _, err := Take(f)
			must(t, err)
			p.Fail(errors.New("no certificate"))
		}, "no certificate"},
		{"the new process ends", func(f *os.File) { f.Close() }, "has ended before it served"},
		{"it ends when it has heard all", func(f *os.File) {
			p, _, err := Take(f)
			must(t, err)
			p.c.Close()
		}, "has ended before it served"},
		{"it talks nonsense", func(f *os.File) {
			p, _, err := Take(f)
			must(t, err)
			must(t, send(p.c, kind('?'), nil))
		}, "does not understand"},
		{"it says less than a message", func(f *os.File) {
			p, _, err := Take(f)
			must(t, err)
			_, err = p.c.Write([]byte{'s'})
			must(t, err)
		}, "does not understand"},
	} {
		old, conversation := begin(t)
		go x.new(conversation)
		err := old.Await(t.Context(), &Legacy{Config: []byte("{}")})
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "recvmsg") {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
	}
}

// TestAwaitIsBounded: a new process that says nothing is given up.
func TestAwaitIsBounded(t *testing.T) {
	old, conversation := begin(t)
	defer conversation.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := old.Await(ctx, &Legacy{}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "in time") {
		t.Error(err)
	}
}

// TestTakeRefuses: what is no legacy is told, and no descriptor of it is kept.
func TestTakeRefuses(t *testing.T) {
	for _, x := range []struct {
		name string
		say  func(c *net.UnixConn) error
	}{
		{"another message", func(c *net.UnixConn) error { return send(c, counts, nil) }},
		{"names without descriptors", func(c *net.UnixConn) error { return send(c, legacy, []byte{3 << 3, 7}) }},
		{"bytes that are none of ours", func(c *net.UnixConn) error { return send(c, legacy, []byte{0xff}) }},
		{"two kinds in one", func(c *net.UnixConn) error {
			_, err := c.Write([]byte{byte(legacy), 1, 'x'})
			return errors.Join(err, send(c, counts, nil))
		}},
		{"an end", func(c *net.UnixConn) error { return c.Close() }},
	} {
		old, conversation := begin(t)
		must(t, x.say(old.c))
		if p, l, err := Take(conversation); err == nil || l != nil || p == nil {
			t.Errorf("%s: %+v, %v", x.name, l, err)
		}
	}
}

func TestRequests(t *testing.T) {
	theirs, s := pair(t)
	var got []Request
	done := make(chan struct{})
	go func() {
		defer close(done)
		Requests(theirs, func(r Request, f *os.File) {
			if got = append(got, r); (f != nil) != (r == Start) {
				t.Errorf("%c comes with %v", r, f)
			}
			if f != nil {
				f.Close()
			}
		})
	}()
	must(t, s.Serving())
	_, err := s.Start()
	must(t, err)
	must(t, s.say(Start)) // without a conversation: nonsense
	must(t, s.GiveUp())
	must(t, s.HandedOver())
	s.c.Close()
	<-done
	if string(requests(got)) != "nsgh" {
		t.Errorf("%q arrives", requests(got))
	}
	var nobody *Starter
	if _, err := nobody.Start(); !errors.Is(err, errAlone) {
		t.Errorf("without a starter: %v", err)
	}
}

func requests(all []Request) (b []byte) {
	for _, r := range all {
		b = append(b, byte(r))
	}
	return b
}

// TestLeave: a process hears that it is to leave also if it listens only later, and its starter that it has left.
func TestLeave(t *testing.T) {
	theirs, s := pair(t)
	must(t, Leave(theirs))
	var said []Request
	done := make(chan struct{})
	go func() {
		defer close(done)
		Requests(theirs, func(r Request, _ *os.File) {
			said = append(said, r)
			theirs.Close()
		})
	}()
	s.Orders(func() { must(t, s.Left()) })
	<-done
	if !slices.Equal(said, []Request{Left}) {
		t.Errorf("it said %q", said)
	}
	(*Starter)(nil).Orders(nil) // of one that nobody has started
}
