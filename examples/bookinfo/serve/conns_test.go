package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pipe returns a kept connection and its peer; their deadlines run on the test's clock.
func pipe(c *Conns) (*Conn, net.Conn) {
	kept, peer := net.Pipe()
	return c.Keep(kept), peer
}

func TestSilentConnectionsEndASecondAfterTheDrainBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Conns
		kept, peer := pipe(&c)
		defer peer.Close()
		go func() {
			defer kept.Close()
			if _, err := kept.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read ended with %v", err)
			}
		}()
		synctest.Wait() // the read is under way before the drain begins
		began := time.Now()
		if err := c.Drain(t.Context()); err != nil || time.Since(began) != quiet {
			t.Errorf("drained with %v after %s, want none after %s", err, time.Since(began), quiet)
		}
	})
}

func TestConnectionsInUseGoOnWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Conns
		kept, peer := pipe(&c)
		go func() {
			defer kept.Close()
			io.Copy(io.Discard, kept)
		}()
		go func() {
			defer peer.Close()
			for range 5 {
				time.Sleep(quiet * 3 / 4)
				if _, err := peer.Write([]byte("x")); err != nil {
					t.Errorf("cut while in use: %v", err)
				}
			}
		}()
		began := time.Now()
		if err := c.Drain(t.Context()); err != nil || time.Since(began) != quiet*15/4 {
			t.Errorf("drained with %v after %s", err, time.Since(began))
		}
	})
}

func TestDrainWaitsForWhatIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Conns
		release := c.Hold()
		drained := false
		go func() {
			if err := c.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			drained = true
		}()
		synctest.Wait()
		if drained {
			t.Error("drained although a connection was announced")
		}
		release()
		synctest.Wait()
		if !drained {
			t.Error("not drained although nothing is open")
		}
	})
}

func TestDrainCutsWhatStaysOpen(t *testing.T) {
	var c Conns
	kept, peer := pipe(&c)
	defer kept.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("drained with %v", err)
	}
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("peer reads %v, want the connection closed", err)
	}
}

func TestDrainOfNothing(t *testing.T) {
	if err := new(Conns).Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
