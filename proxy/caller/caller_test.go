package caller

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// plane is a control plane that a test speaks for.
type plane struct {
	asked []string
	store *held.Store
	Finder
}

func (p *plane) Want(names ...string)   { p.asked = append(p.asked, names...) }
func (p *plane) Drop(...string)         {}
func (p *plane) Restore(string, []byte) {}

func newPlane() *plane {
	p := &plane{}
	p.store = held.New(held.Options{Want: p, Peer: func(string) {}})
	p.Get = func(ctx context.Context, name string) (any, error) {
		_, v, err := p.store.Get(ctx, name, time.Now())
		return v, err
	}
	p.Disown, p.Lookup, p.Clock = p.store.Disown, 3*time.Second, time.Now
	return p
}

// says answers for an address.
func (p *plane) says(t *testing.T, at string, pod *traffic.Pod) {
	t.Helper()
	u := stream.Update{Name: config.Name(config.KindPod, at)}
	if pod != nil {
		u.Body = config.Append([]byte{}, pod)
	}
	if refused := p.store.Apply([]stream.Update{u}, time.Now()); len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
}

var (
	asks = &config.Workload{ByAddress: true}
	from = &traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.1:40000")}
)

// TestPod: an answer is waited for, but not for ever, and not at all while the control plane is away; what came too late counts for the next
// call.
func TestPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx, began := newPlane(), t.Context(), time.Now()
		if pod := p.Pod(ctx, asks, from); pod == nil || !pod.Unclear || time.Since(began) != p.Lookup {
			t.Errorf("without an answer: %+v after %v", pod, time.Since(began))
		}
		p.Away(true)
		began = time.Now()
		if pod := p.Pod(ctx, asks, from); pod == nil || !pod.Unclear || time.Since(began) != 0 {
			t.Errorf("without a control plane: %+v after %v", pod, time.Since(began))
		}
		p.Away(false)
		go p.says(t, "10.0.0.1", &traffic.Pod{Namespace: "shop"})
		if pod := p.Pod(ctx, asks, from); pod == nil || pod.Namespace != "shop" {
			t.Errorf("%+v", pod)
		}
		if first := p.Pod(ctx, asks, from); first != p.Pod(ctx, asks, from) {
			t.Error("the same pod is another one each time")
		}
		p.says(t, "10.0.0.1", nil)
		if pod := p.Pod(ctx, asks, from); pod != nil {
			t.Errorf("nobody has the address, and %+v is said to", pod)
		}
		if !slices.Equal(p.asked, []string{"pod/10.0.0.1"}) {
			t.Errorf("asked for %q", p.asked)
		}
	})
}

// TestNobodyAsksForMore: nothing is asked of a caller unless a rule needs it; never of the address of one who has shown an identity.
func TestNobodyAsksForMore(t *testing.T) {
	p := newPlane()
	known := *from
	known.ID = identity.Of("td", "shop", "web")
	for name, x := range map[string]struct {
		me   *config.Workload
		from *traffic.Peer
	}{"no configuration": {nil, from}, "labels of peers": {&config.Workload{Labelled: true}, from}, "an identity": {asks, &known}, "no address": {asks, &traffic.Peer{}}} {
		if pod := p.Pod(t.Context(), x.me, x.from); pod != nil || len(p.asked) > 0 {
			t.Errorf("%s: %+v, asked for %q", name, pod, p.asked)
		}
	}
	p.Keep(asks, from)
	if !slices.Equal(p.asked, []string{"pod/10.0.0.1"}) {
		t.Errorf("asked for %q", p.asked)
	}
}

// TestAddressesAreNotBelievedForEver: pods go on to come and go without the control plane, and take others' addresses.
func TestAddressesAreNotBelievedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := newPlane(), context.Background()
		pod := func() string {
			switch x := p.Pod(ctx, asks, from); {
			case x == nil:
				return "nobody"
			case x.Unclear:
				return "unclear"
			default:
				return x.Namespace
			}
		}
		p.Keep(asks, from)
		p.says(t, "10.0.0.1", &traffic.Pod{Namespace: "shop"})
		for _, x := range []struct {
			away bool
			wait time.Duration
			want string
		}{{false, time.Hour, "shop"}, {true, believed, "shop"}, {true, time.Second, "unclear"}, {true, time.Hour, "unclear"}} {
			if x.away {
				p.Away(true)
			}
			if time.Sleep(x.wait); pod() != x.want {
				t.Errorf("away %v, %v later: it is %s, want %s", x.away, x.wait, pod(), x.want)
			}
		}
		p.Away(false)
		if got := pod(); got != "unclear" { // it is asked for anew
			t.Errorf("what is said before the control plane has spoken: %s", got)
		}
		p.says(t, "10.0.0.1", &traffic.Pod{Namespace: "evil"})
		if got := pod(); got != "evil" {
			t.Errorf("then %s", got)
		}
		p.Away(true)
		time.Sleep(believed)
		p.Away(false)
		if got := pod(); got != "evil" {
			t.Errorf("what was believed all the time is forgotten: %s", got)
		}
	})
}
