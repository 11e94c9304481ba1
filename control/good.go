package control

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	kjson "sigs.k8s.io/json" // integers stay integers, as in what an API server sends

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
)

// Pieces is where replicas keep the last good versions of configuration, in pieces that have names. The leader writes them, and every
// replica reads them when it starts.
type Pieces interface {
	// Load returns a piece; nil: there is none. The error wraps source.ErrForeign where something else has its name.
	Load(ctx context.Context, name string) ([]byte, error)
	// Save makes a piece be data. It is asked for names alone where Load has found nothing else.
	Save(ctx context.Context, name string, data []byte) error
	// Ref names what a piece is in.
	Ref(name string) decision.Ref
}

// Of the pieces: how many there are, each with the objects whose names have the same hash; the most that one has, where a Secret takes 1 MiB;
// and the most that it may be when it is read.
const (
	pieces    = 16
	mostPiece = 1_000_000
	mostPlain = 64 << 20
)

// PieceNames are the names of all pieces: who may read and write those, and no others, may do all that is needed.
func PieceNames() (names []string) {
	for i := range pieces {
		names = append(names, "weft-good-"+strconv.Itoa(i))
	}
	return names
}

// pieceFormat is the first line of a piece. One that begins otherwise is another version's.
const pieceFormat = `{"weft":"last good versions","format":1}`

// good is a last good version, and how much is lost without it.
type good struct {
	*dialect.Object
	refused bool // the newest version is: this one is in force
	guards  bool
}

func (g good) weight() int {
	switch {
	case g.refused && g.guards:
		return 3
	case g.refused:
		return 2
	case g.guards:
		return 1
	}
	return 0
}

func pieceOf(k dialect.Key) int {
	h := fnv.New32a()
	for _, s := range []string{k.Group, k.Kind, k.Namespace, k.Name} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return int(h.Sum32() % pieces)
}

// goodPieces is what is to be kept, by piece, in an order that is the same at all replicas. It runs in the owner.
func (c *Control) goodPieces() (out [pieces][]good) {
	for _, o := range c.model.objects.Good(c.kept) {
		k := o.Key()
		i := pieceOf(k)
		out[i] = append(out[i], good{o, c.model.objects.Refused(k), c.model.objects.Guards(k)})
	}
	for i := range out {
		slices.SortFunc(out[i], func(a, b good) int { return a.Key().Compare(b.Key()) })
	}
	return out
}

// encodePiece writes objects into a piece of at most so many bytes. Of those that do not fit, and are left, others with more weight are not.
func encodePiece(all []good, most, mostPlain int) (data []byte, left []good, err error) {
	if data, err = pack(all, mostPlain); err == nil && len(data) <= most {
		return data, nil, nil
	}
	byWeight := slices.Clone(all)
	slices.SortStableFunc(byWeight, func(a, b good) int { return cmp.Compare(b.weight(), a.weight()) })
	fits, over := 0, len(all) // of the first in that order
	for over-fits > 1 {
		n := (fits + over) / 2
		some := slices.Clone(byWeight[:n])
		slices.SortFunc(some, func(a, b good) int { return a.Key().Compare(b.Key()) })
		tried, err := pack(some, mostPlain)
		switch {
		case err != nil && !errors.Is(err, errPlain):
			return nil, nil, err
		case err == nil && len(tried) <= most:
			fits, data = n, tried
		default:
			over = n
		}
	}
	if fits == 0 {
		if data, err = pack(nil, mostPlain); err != nil {
			return nil, nil, err
		}
	}
	return data, byWeight[fits:], nil
}

var errPlain = errors.New("too much to be read again")

// pack is objects as compressed lines of JSON, the same bytes for the same objects.
func pack(objects []good, mostPlain int) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	plain, _ := z.Write([]byte(pieceFormat + "\n")) // a buffer takes all
	for _, o := range objects {
		line, err := json.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("the last good version of %s: %w", o.Source, err)
		}
		if plain += len(line) + 1; plain > mostPlain {
			return nil, errPlain
		}
		_, _ = z.Write(append(line, '\n'))
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// decodePiece reads what encodePiece wrote. A piece with anything in it that is not as it was written is none.
func decodePiece(data []byte, kept func(dialect.Key) bool) ([]*dialect.Object, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it is not compressed: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(z, mostPlain+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its compression is broken: %w", err)
	case len(text) > mostPlain:
		return nil, fmt.Errorf("it holds more than %d MiB", mostPlain>>20)
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	if first != pieceFormat {
		return nil, errors.New("it is of another version of weft")
	}
	var out []*dialect.Object
	n := 1
	for line := range strings.Lines(rest) {
		n++
		o := &dialect.Object{}
		if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(line), o); err != nil {
			return nil, fmt.Errorf("line %d is no object: %w", n, err)
		}
		if kind, _ := o.Tree["kind"].(string); o.Name == "" || o.Kind == "" || kind != o.Kind || !kept(o.Key()) {
			return nil, fmt.Errorf("line %d is no object that is kept there", n)
		}
		out = append(out, o)
	}
	return out, nil
}

// readPieces reads what the leader, or an earlier one, has kept. What cannot be read is said, and does without; that the API server does not
// answer is an error.
func readPieces(p Pieces, kept func(dialect.Key) bool) (objects []*dialect.Object, found []dialect.Located, err error) {
	for _, name := range PieceNames() {
		data, err := p.Load(context.Background(), name)
		if err != nil && !errors.Is(err, source.ErrForeign) {
			return nil, nil, fmt.Errorf("the last good versions of configuration: %w", err)
		}
		remedy := "delete it, and restart the control plane's pods: the leader writes it anew"
		if err == nil {
			if data == nil {
				continue
			}
			var some []*dialect.Object
			if some, err = decodePiece(data, kept); err == nil {
				objects = append(objects, some...)
				continue
			}
			remedy = "the leader writes it anew; look for who else writes there"
		}
		ref := p.Ref(name)
		found = append(found, dialect.Located{Position: dialect.Position{File: ref.Kind + " " + ref.Namespace + "/" + ref.Name},
			Finding: mesh.Finding{Ref: ref, Level: mesh.Error, Text: "the last good versions in it are not known: " + err.Error(), Remedy: remedy}})
	}
	return objects, found, nil
}

// GoodTask keeps the last good versions for all replicas. A piece is written when it is another than before, and looked at every some
// minutes, since another may have led meanwhile.
func (c *Control) GoodTask() Task {
	k := &goodKeeper{c: c}
	return Task{Name: "last-good", Do: k.do}
}

type goodKeeper struct {
	c    *Control
	seen uint64 // changes
	last time.Time
	had  [pieces][]good // written, or found to be there
	sums [pieces]uint64 // of the bytes
	sure time.Time      // when they were looked at; zero: they are to be
	left [pieces]int    // objects without room
	said int            // how many those are in all
}

// goodPause is between two times that pieces are written: one of 600 objects, of 10,000 in all, takes a processor 35 ms.
const goodPause = 2 * time.Second

func (k *goodKeeper) do(ctx context.Context) error {
	look := k.sure.IsZero() || time.Since(k.sure) >= leadAgain/2
	if !look && k.seen == k.c.changes.Load() {
		return nil
	}
	if rest := goodPause - time.Since(k.last); !k.last.IsZero() && rest > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
	var now [pieces][]good
	if err := k.c.do(func() { k.seen, now = k.c.changes.Load(), k.c.goodPieces() }); err != nil {
		return err
	}
	k.last = time.Now()
	var errs []error
	left := 0
	for i, name := range PieceNames() {
		same := slices.EqualFunc(now[i], k.had[i], func(a, b good) bool { return a.Object == b.Object && a.weight() == b.weight() })
		if !same || look {
			if err := k.keep(ctx, i, name, now[i], same); err != nil {
				errs = append(errs, err)
			} else {
				k.had[i] = now[i]
			}
		}
		left += k.left[i]
	}
	if err := errors.Join(errs...); err != nil {
		k.sure = time.Time{}
		return err
	}
	if look {
		k.sure = k.last
	}
	if left > 0 && left != k.said {
		k.c.opts.Log.Warn("the last good versions of some objects are not kept: there is no room for more; a replica that starts does not know them", "objects", left)
	}
	k.said = left
	return nil
}

// keep has a piece hold the objects of now. same: they are those of before, and what was written then is as good as written anew.
func (k *goodKeeper) keep(ctx context.Context, i int, name string, now []good, same bool) error {
	was, err := k.c.opts.Cluster.Good.Load(ctx, name)
	switch {
	case errors.Is(err, source.ErrForeign) && len(now) == 0: // which was said at the start
		return nil
	case err != nil:
		return err
	case len(now) == 0 && was == nil, same && was != nil && maphash.Bytes(pieceSeed, was) == k.sums[i]:
		return nil
	}
	data, left, err := encodePiece(now, mostPiece, mostPlain)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, was) {
		if err := k.c.opts.Cluster.Good.Save(ctx, name, data); err != nil {
			return err
		}
	}
	k.left[i], k.sums[i] = len(left), maphash.Bytes(pieceSeed, data)
	return nil
}

var pieceSeed = maphash.MakeSeed()
