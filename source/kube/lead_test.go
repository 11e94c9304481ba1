package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

func leases() *stored {
	return &stored{group: "coordination.k8s.io", kind: "Lease", resource: "leases", versions: []string{"v1"}}
}

// diary is what replicas did, and when.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, what)
}

func (d *diary) read() []string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

// campaign is a replica that wants to lead. When it has to stop, it takes a second.
func (d *diary) campaign(t *testing.T, s *server, who string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c, done := s.cluster(t), make(chan error)
	go func() {
		done <- c.Lead(ctx, "weft-system", "weft-control", who, func(ctx context.Context) {
			d.write(who + " leads")
			<-ctx.Done()
			time.Sleep(time.Second)
			d.write(who + " ends")
		})
	}()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newServer(leases()), &diary{}
		stopA := d.campaign(t, s, "a")
		d.expect(t, "a leads")
		stopB := d.campaign(t, s, "b")
		defer stopB()
		time.Sleep(time.Hour)
		d.expect(t)
		begun := time.Now()
		stopA()
		time.Sleep(3 * renewEvery) // b asks again after 2.2 times that at most (leaderelection.JitterFactor), by chance
		d.expect(t, "a ends", "b leads")
		if took := time.Since(begun); took > leaseTime {
			t.Errorf("b had to wait %v: the lease was not given back", took)
		}
	})
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := d.read(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A leader that can't renew its lease ends before another leads, and comes back.
func TestLoseLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newServer(leases()), &diary{}
		defer d.campaign(t, s, "a")()
		d.expect(t, "a leads")
		s.failing(func(string, string, *http.Request) error { return errRefused })
		time.Sleep(leaseTime)
		d.expect(t, "a ends")
		time.Sleep(time.Hour)
		d.expect(t)
		s.failing(nil)
		time.Sleep(2 * leaseTime)
		d.expect(t, "a leads")
	})
}

// A replica that ends while it waits for the lease just ends.
func TestEndWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newServer(leases()), &diary{}
		defer d.campaign(t, s, "a")()
		d.expect(t, "a leads")
		stopB := d.campaign(t, s, "b")
		time.Sleep(time.Minute)
		stopB()
		d.expect(t)
	})
}

// writtenLate is a lease to which a renewal, whose request was cut off, is written between the reading and the writing of who gives it back.
type writtenLate struct {
	resourcelock.Interface
	holder   string // after that
	written  bool
	conflict bool
}

func (l *writtenLate) Identity() string { return "a" }
func (l *writtenLate) Describe() string { return "lease" }

func (l *writtenLate) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.conflict = !l.conflict // what is read for the first time is soon out of date
	if l.conflict {
		return &resourcelock.LeaderElectionRecord{HolderIdentity: "a"}, nil, nil
	}
	return &resourcelock.LeaderElectionRecord{HolderIdentity: l.holder}, nil, nil
}

func (l *writtenLate) Update(context.Context, resourcelock.LeaderElectionRecord) error {
	if l.conflict {
		return apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "lease", nil)
	}
	l.written = true
	return nil
}

// A renewal that was still on its way does not keep a replica from giving the lease back; somebody else's lease it leaves alone.
func TestGiveBackAfterRenewal(t *testing.T) {
	for holder, given := range map[string]bool{"a": true, "b": false} {
		l := &writtenLate{holder: holder}
		x := &term{Interface: l, log: slog.New(slog.DiscardHandler)}
		if _, _, err := x.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := x.Update(t.Context(), resourcelock.LeaderElectionRecord{}); (err == nil) != given || l.written != given {
			t.Errorf("held by %s: %v, written %v", holder, err, l.written)
		}
	}
}

// However often replicas come and go, never do two lead.
func TestOneLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newServer(leases()), &diary{}
		for i := range 20 {
			stop := d.campaign(t, s, fmt.Sprint(i, "a"))
			other := d.campaign(t, s, fmt.Sprint(i, "b"))
			time.Sleep(time.Duration(i*i) * 100 * time.Millisecond)
			stop()
			time.Sleep(time.Duration(i) * time.Second)
			other()
		}
		leading := ""
		for _, l := range d.read() {
			var who, what string
			fmt.Sscan(l, &who, &what)
			switch {
			case what == "leads" && leading == "":
				leading = who
			case what == "ends" && leading == who:
				leading = ""
			default:
				t.Fatalf("%s, while %q leads", l, leading)
			}
		}
	})
}
