// Package meshtest is a mesh in one process, for tests: a control plane with objects that the test gives, and for each workload
// an application that tells what it saw and a real proxy, joined by real connections on loopback and real certificates. Only the
// way from a proxy to the control plane is a function call instead of a socket.
//
// It promises that nothing waits for time to pass: a change of configuration returns when every proxy has taken it in, a call
// when its records are there. Every wait ends after a bound, with a failed test. When the test ends, so does all that the mesh
// started, and a goroutine that is left over fails the test.
//
//	m := meshtest.New(t, `...objects...`)
//	m.Run("frontend", "reviews-v2 service=reviews version=v2")
//	m.Expect("from frontend GET http://reviews/ end-user=jason => 200 reviews subset v2")
package meshtest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/source"
)

// bound is how long anything may take before the test fails.
const bound = 30 * time.Second

// Mesh is a running mesh. Its methods fail the test instead of returning errors; they are for one goroutine.
type Mesh struct {
	t       testing.TB
	ctx     context.Context // labels all goroutines
	end     context.CancelFunc
	tasks   sync.WaitGroup
	control *control.Control
	given   *given
	records records
	over    atomic.Bool // the test's log is closed

	mu        sync.Mutex           // for proxies, which read workloads
	workloads map[string]*workload // by key
	outside   *app                 // stands for every address that is none of the mesh's
	refuse    atomic.Int32         // so many connections to applications fail
	calls     calls
	lot       lot
	clock     clock
}

// New starts a mesh with objects, each a text of YAML documents. It has no workloads.
func New(t testing.TB, objects ...string) *Mesh {
	t.Helper()
	g := newGiven()
	put, found := g.parse(objects)
	return start(t, g, put, found)
}

func start(t testing.TB, g *given, put []*dialect.Object, found []dialect.Located) *Mesh {
	t.Helper()
	m := &Mesh{t: t, given: g, workloads: map[string]*workload{}}
	m.ctx, m.end = context.WithCancel(labelled(t.Name()))
	g.first = source.Event{Source: "test", Put: put, Findings: found, Synced: true}
	var err error
	m.control, err = control.New(control.Options{State: filepath.Join(t.TempDir(), "state"), Sources: []source.Source{g},
		TrustDomain: transcript.TrustDomain, Allow: []control.Rule{{UID: os.Getuid(), Namespace: "*", Account: "*"}},
		Log:       slog.New(slog.DiscardHandler),
		Unguarded: true}) // a test looks at what is refused, and at the calls that pass then
	if err != nil {
		t.Fatal(err)
	}
	m.goes(func() {
		if err := m.control.Run(m.ctx); err != nil {
			m.warn(fmt.Errorf("control plane: %w", err))
		}
	})
	t.Cleanup(m.close)
	m.wait(m.control.Synced(), "the control plane's source")
	m.outside = m.serve("outside", nil, nil)
	return m
}

// goes runs f on a goroutine that the mesh waits for.
func (m *Mesh) goes(f func()) { goes(m.ctx, &m.tasks, f) }

// warn shows what went wrong beside calls, as long as there is somebody to show it to.
func (m *Mesh) warn(err error) {
	if !m.over.Load() && m.ctx.Err() == nil {
		m.t.Logf("meshtest: %v", err)
	}
}

func (m *Mesh) wait(c <-chan struct{}, what string) {
	m.t.Helper()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		m.t.Fatalf("meshtest: %s did not come about within %v", what, bound)
	}
}

func (m *Mesh) close() {
	m.end()
	m.tasks.Wait()
	m.over.Store(true)
	checkLeaks(m.t, m.ctx)
}

// Apply puts objects into the place of those of the same name, beside all others, and returns when every proxy has taken in
// what follows. It fails the test where a proxy refuses it.
func (m *Mesh) Apply(objects ...string) {
	m.t.Helper()
	put, found := m.given.parse(objects)
	m.change(source.Event{Put: put, Findings: found})
}

// Delete takes objects away; of each, only the name counts.
func (m *Mesh) Delete(objects ...string) {
	m.t.Helper()
	var gone []dialect.Key
	put, _ := m.given.parse(objects)
	for _, o := range put {
		gone = append(gone, o.Key())
	}
	m.change(source.Event{Delete: gone})
}

func (m *Mesh) change(e source.Event) {
	m.t.Helper()
	m.given.emit(m.ctx, e)
	m.settle()
}

// settle waits until every proxy has answered all that it was sent.
func (m *Mesh) settle() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.ctx, bound)
	defer cancel()
	if err := m.control.Settled(ctx); err != nil {
		m.t.Fatalf("meshtest: proxies do not take in their configuration: %v", err)
	}
	if all := m.control.Refused(); len(all) > 0 {
		m.t.Fatalf("meshtest: proxies refuse configuration:\n%s", strings.Join(all, "\n"))
	}
}

// View is what the control plane knows.
func (m *Mesh) View() *control.View { return m.control.View() }

// Findings are the control plane's, as text: "FILE:LINE: LEVEL: what, and why".
func (m *Mesh) Findings() (out []string) {
	for _, l := range m.View().Findings {
		out = append(out, l.String())
	}
	return out
}

// Finding fails the test unless there is a finding that has all of words.
func (m *Mesh) Finding(words ...string) {
	m.t.Helper()
	is := func(f string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(f, w) })
	}
	if all := m.Findings(); !slices.ContainsFunc(all, is) {
		m.t.Errorf("no finding has all of %q; there are:\n%s", words, strings.Join(all, "\n"))
	}
}

// Records returns copies of all records so far, the oldest first.
func (m *Mesh) Records() []observe.Record { return m.records.all() }

// Rotate replaces the root of trust, and returns when every proxy has a certificate under the new one and the old one is retired.
func (m *Mesh) Rotate() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.ctx, bound)
	defer cancel()
	if err := m.control.Rotate(ctx, func(line string) { m.t.Log(line) }); err != nil {
		m.t.Fatalf("meshtest: rotate the root: %v", err)
	}
}
