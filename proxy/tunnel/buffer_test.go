package tunnel

import (
	"io"
	"net"
	"testing"
)

func tcpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestMove: what is in full flow is moved from then on; what is not, and what is no socket, is read.
func TestMove(t *testing.T) {
	for name, c := range map[string]struct {
		piece int
		plain bool
		want  bool
	}{
		"in full flow":         {largeBuffer, true, true},
		"small messages":       {100, true, false},
		"not in the clear":     {largeBuffer, false, false},
		"what just fits, once": {smallBuffer, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			in, from := tcpPair(t)
			to, out := tcpPair(t)
			if !c.plain {
				to = struct{ net.Conn }{to}
			}
			go io.Copy(io.Discard, out)
			var x Buffer
			defer x.Release()
			piece := make([]byte, c.piece)
			moved := false
			for total := 0; total < 2<<20 && !moved; total += c.piece {
				if _, err := in.Write(piece); err != nil {
					t.Fatal(err)
				}
				for got := 0; got < c.piece && !moved; {
					n, read, write, yes := x.Move(to, from)
					if moved = yes; yes {
						if n == 0 || read != nil || write != nil {
							t.Fatal(n, read, write)
						}
						break
					}
					b, err := x.ReadFrom(from)
					if err != nil {
						t.Fatal(err)
					}
					got += len(b)
				}
				if c.piece < largeBuffer && total > 400*c.piece {
					break
				}
			}
			if moved != c.want {
				t.Errorf("moved: %v", moved)
			}
		})
	}
}
