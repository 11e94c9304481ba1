// What weft promises on Kubernetes, tried on a real one.
module github.com/weft-mesh/weft/test/e2e

go 1.26.0

require github.com/weft-mesh/weft/test/cluster v0.0.0

replace github.com/weft-mesh/weft/test/cluster => ../cluster
