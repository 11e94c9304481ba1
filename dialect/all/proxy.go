package all

import (
	"strings"

	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/dialect/ingress"
	"github.com/weft-mesh/weft/dialect/istio"
)

// Proxy says of what account the proxies of a gateway are that weft deploys, and which labels tell them from others, by the gateway's
// name in configuration: where no cluster runs one, as in weft test.
func Proxy(gateway string) (account string, labels map[string]string) {
	if stem, ok := strings.CutPrefix(gateway, istio.GatewayPrefix); ok {
		return istio.Proxies(stem)
	}
	if class, ok := strings.CutPrefix(gateway, ingress.Prefix); ok {
		return ingress.Proxies(class)
	}
	return gatewayapi.ProxyName(gateway), map[string]string{gatewayapi.NameLabel: gateway}
}
