package caller

import (
	"testing"

	"github.com/weft-mesh/weft/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
