package lastgood

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"slices"
	"time"

	"github.com/weft-mesh/weft/source"
)

// Keeper keeps the last good versions for all replicas. A piece is written when it is another than before, and looked at every some
// minutes, since another may have led meanwhile.
type Keeper struct {
	Pieces  Pieces
	Log     *slog.Logger
	Again   time.Duration                     // after which pieces are looked at
	Changes func() uint64                     // grows with each change of what is to be kept
	All     func() (uint64, []Version, error) // what is to be kept, and the number of changes until then

	seen uint64 // changes
	last time.Time
	had  [pieces][]Version // written, or found to be there
	sums [pieces]uint64    // of the bytes
	sure time.Time         // when they were looked at; zero: they are to be
	left [pieces]int       // objects without room
	said int               // how many those are in all
}

// Pause is between two times that pieces are written: one of 600 objects, of 10,000 in all, takes a processor 35 ms.
const Pause = 2 * time.Second

// Do writes what is to be written.
func (k *Keeper) Do(ctx context.Context) error {
	look := k.sure.IsZero() || time.Since(k.sure) >= k.Again
	if !look && k.seen == k.Changes() {
		return nil
	}
	if rest := Pause - time.Since(k.last); !k.last.IsZero() && rest > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rest):
		}
	}
	seen, all, err := k.All()
	if err != nil {
		return err
	}
	k.seen = seen
	now := byPiece(all)
	k.last = time.Now()
	var errs []error
	left := 0
	for i, name := range Names() {
		same := slices.EqualFunc(now[i], k.had[i], func(a, b Version) bool { return a.Object == b.Object && a.weight() == b.weight() })
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
		k.Log.Warn("the last good versions of some objects are not kept: there is no room for more; a replica that starts does not know them", "objects", left)
	}
	k.said = left
	return nil
}

// byPiece is what each piece has, in an order that is the same at all replicas.
func byPiece(all []Version) (out [pieces][]Version) {
	for _, v := range all {
		i := Of(v.Key())
		out[i] = append(out[i], v)
	}
	for i := range out {
		slices.SortFunc(out[i], func(a, b Version) int { return a.Key().Compare(b.Key()) })
	}
	return out
}

// keep has a piece hold the objects of now. same: they are those of before, and what was written then is as good as written anew.
func (k *Keeper) keep(ctx context.Context, i int, name string, now []Version, same bool) error {
	was, err := k.Pieces.Load(ctx, name)
	switch {
	case errors.Is(err, source.ErrForeign) && len(now) == 0: // which was said at the start
		return nil
	case err != nil:
		return err
	case len(now) == 0 && was == nil, same && was != nil && maphash.Bytes(pieceSeed, was) == k.sums[i]:
		return nil
	}
	data, left, err := encode(now, mostPiece, mostPlain)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, was) {
		if err := k.Pieces.Save(ctx, name, data); err != nil {
			return err
		}
	}
	k.left[i], k.sums[i] = len(left), maphash.Bytes(pieceSeed, data)
	return nil
}

var pieceSeed = maphash.MakeSeed()
