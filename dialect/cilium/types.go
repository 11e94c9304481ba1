package cilium

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

type labelSelector = metav1.LabelSelector

// policy is a CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy.
type policy struct {
	Spec   *rule  `json:"spec"`
	Specs  []rule `json:"specs"`
	Status any    `json:"status"`
}

// rule is what a policy says of the endpoints that it selects. Empty lists and lists that are not there differ throughout.
type rule struct {
	EndpointSelector  *labelSelector `json:"endpointSelector"`
	NodeSelector      *labelSelector `json:"nodeSelector"`
	Ingress           []ingress      `json:"ingress"`
	IngressDeny       []ingressDeny  `json:"ingressDeny"`
	Egress            []egress       `json:"egress"`
	EgressDeny        []egressDeny   `json:"egressDeny"`
	EnableDefaultDeny defaultDeny    `json:"enableDefaultDeny"`
	Labels            []any          `json:"labels"`
	Description       string         `json:"description"`
	Log               logging        `json:"log"`
}

type defaultDeny struct {
	Ingress *bool `json:"ingress"`
	Egress  *bool `json:"egress"`
}

type logging struct {
	Value string `json:"value"`
}

type from struct {
	FromEndpoints []labelSelector `json:"fromEndpoints"`
	FromRequires  []any           `json:"fromRequires"`
	FromCIDR      []string        `json:"fromCIDR"`
	FromCIDRSet   []cidrRule      `json:"fromCIDRSet"`
	FromEntities  []string        `json:"fromEntities"`
	FromGroups    []any           `json:"fromGroups"`
	FromNodes     []labelSelector `json:"fromNodes"`
}

type to struct {
	ToEndpoints []labelSelector `json:"toEndpoints"`
	ToRequires  []any           `json:"toRequires"`
	ToCIDR      []string        `json:"toCIDR"`
	ToCIDRSet   []cidrRule      `json:"toCIDRSet"`
	ToEntities  []string        `json:"toEntities"`
	ToServices  []toService     `json:"toServices"`
	ToGroups    []any           `json:"toGroups"`
	ToNodes     []labelSelector `json:"toNodes"`
}

type ingress struct {
	from
	ToPorts        []portRule      `json:"toPorts"`
	ICMPs          []icmpRule      `json:"icmps"`
	Authentication *authentication `json:"authentication"`
}

type ingressDeny struct {
	from
	ToPorts []portDeny `json:"toPorts"`
	ICMPs   []icmpRule `json:"icmps"`
}

type egress struct {
	to
	ToFQDNs        []fqdn          `json:"toFQDNs"`
	ToPorts        []portRule      `json:"toPorts"`
	ICMPs          []icmpRule      `json:"icmps"`
	Authentication *authentication `json:"authentication"`
}

type egressDeny struct {
	to
	ToPorts []portDeny `json:"toPorts"`
	ICMPs   []icmpRule `json:"icmps"`
}

type cidrRule struct {
	CIDR              string         `json:"cidr"`
	CIDRGroupRef      string         `json:"cidrGroupRef"`
	CIDRGroupSelector *labelSelector `json:"cidrGroupSelector"`
	Except            []string       `json:"except"`
}

type toService struct {
	K8sService *struct {
		ServiceName string `json:"serviceName"`
		Namespace   string `json:"namespace"`
	} `json:"k8sService"`
	K8sServiceSelector *struct {
		Selector  labelSelector `json:"selector"`
		Namespace string        `json:"namespace"`
	} `json:"k8sServiceSelector"`
}

type fqdn struct {
	MatchName    string `json:"matchName"`
	MatchPattern string `json:"matchPattern"`
}

type icmpRule struct {
	Fields []struct {
		Family string `json:"family"`
		Type   any    `json:"type"`
	} `json:"fields"`
}

type authentication struct {
	Mode string `json:"mode"`
}

type portDeny struct {
	Ports []port `json:"ports"`
}

type portRule struct {
	Ports          []port    `json:"ports"`
	TerminatingTLS *tls      `json:"terminatingTLS"`
	OriginatingTLS *tls      `json:"originatingTLS"`
	ServerNames    []string  `json:"serverNames"`
	Listener       *listener `json:"listener"`
	Rules          *l7       `json:"rules"`
}

type port struct {
	Port     string `json:"port"`
	EndPort  int32  `json:"endPort"`
	Protocol string `json:"protocol"`
}

type secret struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type tls struct {
	Secret      *secret `json:"secret"`
	TrustedCA   string  `json:"trustedCA"`
	Certificate string  `json:"certificate"`
	PrivateKey  string  `json:"privateKey"`
}

type listener struct {
	EnvoyConfig *struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"envoyConfig"`
	Name     string `json:"name"`
	Priority int    `json:"priority"`
}

// l7 is one list of rules for requests. kafka and l7 were there until Cilium 1.19.
type l7 struct {
	HTTP    []http `json:"http"`
	DNS     []fqdn `json:"dns"`
	Kafka   []any  `json:"kafka"`
	L7Proto string `json:"l7proto"`
	L7      []any  `json:"l7"`
}

type http struct {
	Path          string        `json:"path"`
	Method        string        `json:"method"`
	Host          string        `json:"host"`
	Headers       []string      `json:"headers"`
	HeaderMatches []headerMatch `json:"headerMatches"`
}

type headerMatch struct {
	Mismatch string  `json:"mismatch"`
	Name     string  `json:"name"`
	Secret   *secret `json:"secret"`
	Value    string  `json:"value"`
}

// cidrGroup is a CiliumCIDRGroup.
type cidrGroup struct {
	Spec struct {
		ExternalCIDRs []string `json:"externalCIDRs"`
	} `json:"spec"`
	Status any `json:"status"`
}
