package kube

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/source"
)

// Pieces keeps bytes in Secrets of a namespace, each in one of a name. They are Secrets since configuration may hold such: the settings of a
// Wasm plugin often do.
type Pieces struct {
	secrets   corev1client.SecretInterface
	cluster   *Cluster
	namespace string
}

// pieceType is that of the Secrets, and pieceKey what has the bytes. An API server lets nobody change a Secret's type.
const (
	pieceType = "weft.dev/piece"
	pieceKey  = "piece"
)

// Pieces returns those of a namespace.
func (c *Cluster) Pieces(namespace string) *Pieces {
	return &Pieces{secrets: c.typed.CoreV1().Secrets(namespace), cluster: c, namespace: namespace}
}

// Ref names the Secret of a piece.
func (p *Pieces) Ref(name string) decision.Ref {
	return decision.Ref{Dialect: decision.Core, Kind: "Secret", Namespace: p.namespace, Name: name}
}

func (p *Pieces) say(name string) string { return "Secret " + p.namespace + "/" + name }

// Load returns a piece; nil: there is no such Secret. The error wraps source.ErrForeign where there is one of another type.
func (p *Pieces) Load(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	secret, err := p.secrets.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, p.cluster.explain("reading "+p.say(name), err)
	case secret.Type != pieceType:
		return nil, fmt.Errorf("%s is of type %s, and weft's are of type %s: %w", p.say(name), secret.Type, pieceType, source.ErrForeign)
	}
	return append([]byte{}, secret.Data[pieceKey]...), nil
}

// Save makes a piece be data, in a Secret that is there or one of its own. It is applied, since who applies an object needs the right to
// create one of that name alone, and who creates it that to create any. Whoever calls it has seen by Load that the Secret is not another's.
func (p *Pieces) Save(ctx context.Context, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	o, err := json.Marshal(&corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Type: pieceType, Data: map[string][]byte{pieceKey: data},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: p.namespace, Labels: map[string]string{"app.kubernetes.io/managed-by": manager, "app.kubernetes.io/part-of": manager}}})
	if err != nil {
		return err
	}
	force := true
	_, err = p.secrets.Patch(ctx, name, types.ApplyPatchType, o, metav1.PatchOptions{FieldManager: p.cluster.manager, Force: &force})
	return p.cluster.explain("writing "+p.say(name), err)
}
