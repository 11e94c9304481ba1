package all_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/source/files"
)

// What is read of pruned objects, and said of them, is what is read and said of whole ones.
func TestPrune(t *testing.T) {
	kinds, count := all.Kinds("cluster.local"), 0
	prune := map[*dialect.Kind]*dialect.Pruner{}
	for i := range kinds {
		prune[&kinds[i]] = dialect.NewPruner(&kinds[i])
	}
	for _, dir := range []string{"..", shared(t), filepath.Join("..", "..", "examples")} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".yaml" {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			objects, _ := files.Parse(kinds, path, data, time.Unix(0, 0))
			less := make([]*dialect.Object, len(objects))
			for i, o := range objects {
				if less[i] = o; dialect.Find(kinds, o.Group, o.Kind) != nil {
					less[i] = prune[dialect.Find(kinds, o.Group, o.Kind)].Prune(o)
				}
				if o.Kind == "Pod" || o.Kind == "EndpointSlice" {
					less[i] = less[i].Pack()
				}
			}
			for i, o := range objects {
				part, found := dialect.Read(kinds, o, dialecttest.View(objects))
				lessPart, lessFound := dialect.Read(kinds, less[i], dialecttest.View(less))
				if !reflect.DeepEqual(part, lessPart) {
					t.Errorf("%s: %s %s is read as %+v, and pruned as %+v", o.Source, o.Kind, o.Name, part, lessPart)
				}
				if !reflect.DeepEqual(found, lessFound) {
					t.Errorf("%s: of %s %s is said %v, and pruned %v", o.Source, o.Kind, o.Name, found, lessFound)
				}
			}
			count += len(objects)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if count < 100 {
		t.Errorf("%d objects", count)
	}
}
