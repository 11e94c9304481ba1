package classify_test

import (
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/classify"
	"github.com/weft-mesh/weft/traffic"
)

func statuses(min, max int) *classify.Statuses { return &classify.Statuses{Min: min, Max: max} }

func TestFirstClassThatMatchesDecides(t *testing.T) {
	not404 := classify.Condition{All: []classify.Condition{{Status: statuses(400, 499)}, {Not: []classify.Condition{{Status: statuses(404, 404)}}}}}
	p := &classify.Policy{Classes: []classify.Class{
		{Ref: decision.Ref{Name: "bad"}, Match: not404},
		{Ref: decision.Ref{Name: "down"}, Match: classify.Condition{Any: []classify.Condition{{Status: statuses(503, 503)}, {Status: statuses(200, 204)}}}, Success: true},
	}}
	for _, x := range []struct {
		status int
		failed bool
		by     string // empty: the mesh's own rule
	}{{400, true, "bad"}, {404, false, ""}, {503, false, "down"}, {204, false, "down"}, {205, false, ""}, {500, true, ""}} {
		c := &traffic.Call{}
		c.Begin(nil, &traffic.Conn{})
		c.Proto, c.Response.Status = traffic.HTTP1, x.status
		if err := classify.With(p)(answered(x.status)).Serve(c); err != nil {
			t.Fatal(err)
		}
		failed, ref := c.FailedBy()
		if failed != x.failed || (ref == nil) != (x.by == "") || ref != nil && ref.Name != x.by {
			t.Errorf("%d: failed %v by %v, want %v by %q", x.status, failed, ref, x.failed, x.by)
		}
	}
}

type answered int

func (a answered) Serve(c *traffic.Call) error { c.Response.Status = int(a); return nil }

func TestNoClassesCostNothing(t *testing.T) {
	if classify.With(nil) != nil || classify.With(&classify.Policy{}) != nil {
		t.Error("a handler for nothing")
	}
}
