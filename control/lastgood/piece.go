// Package lastgood keeps the last good version of each object of a cluster's configuration over the end of all replicas: in pieces of so
// many bytes, by the hash of names. What is in a piece is the same bytes at all replicas. What cannot be read is a finding, and nothing
// else is lost with it.
package lastgood

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"

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

// Names are the names of all pieces: who may read and write those, and no others, may do all that is needed.
func Names() (names []string) {
	for i := range pieces {
		names = append(names, "weft-good-"+strconv.Itoa(i))
	}
	return names
}

// pieceFormat is the first line of a piece. One that begins otherwise is another version's.
const pieceFormat = `{"weft":"last good versions","format":1}`

// Version is the last good one of an object, and how much is lost without it.
type Version struct {
	*dialect.Object
	Refused bool // the newest version is: this one is in force
	Guards  bool // it says who may call
}

func (v Version) weight() int {
	switch {
	case v.Refused && v.Guards:
		return 3
	case v.Refused:
		return 2
	case v.Guards:
		return 1
	}
	return 0
}

// Of says which piece has an object.
func Of(k dialect.Key) int {
	h := fnv.New32a()
	for _, s := range []string{k.Group, k.Kind, k.Namespace, k.Name} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return int(h.Sum32() % pieces)
}

// encode writes objects into a piece of at most so many bytes. Of those that do not fit, and are left, others with more weight are not.
func encode(all []Version, most, mostPlain int) (data []byte, left []Version, err error) {
	if data, err = pack(all, mostPlain); err == nil && len(data) <= most {
		return data, nil, nil
	}
	byWeight := slices.Clone(all)
	slices.SortStableFunc(byWeight, func(a, b Version) int { return cmp.Compare(b.weight(), a.weight()) })
	fits, over := 0, len(all) // of the first in that order
	for over-fits > 1 {
		n := (fits + over) / 2
		some := slices.Clone(byWeight[:n])
		slices.SortFunc(some, func(a, b Version) int { return a.Key().Compare(b.Key()) })
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
func pack(objects []Version, mostPlain int) ([]byte, error) {
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

// Decode reads what a Keeper wrote into a piece. A piece with anything in it that is not as it was written is none.
func Decode(data []byte, kept func(dialect.Key) bool) ([]*dialect.Object, error) {
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

// Read reads what the leader, or an earlier one, has kept. What cannot be read is said, and does without; that the API server does not
// answer is an error.
func Read(p Pieces, kept func(dialect.Key) bool) (objects []*dialect.Object, found []dialect.Located, err error) {
	for _, name := range Names() {
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
			if some, err = Decode(data, kept); err == nil {
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
