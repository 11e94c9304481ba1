package inject

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/mesh"
)

// Path is where the API server finds the webhook.
const Path = "/inject"

// maxReview bounds an admission review. The API server takes objects of up to 3 MiB and sends one of them, and its old version.
const maxReview = 8 << 20

// maxWarning is what the API server passes on of a warning.
const maxWarning = 256

// Webhook is what the handler asks for.
type Webhook struct {
	Options   func() Options                                            // those in force now
	Namespace func(ctx context.Context, name string) (Namespace, error) // a namespace as it is now
	Foreign   func(ctx context.Context) ([]string, error)               // the meshes whose injectors are in the cluster now; nil: as Options say
	Log       *slog.Logger                                              // nil: none
}

// Handler answers the API server's admission reviews of new pods (admission.k8s.io/v1). A pod that cannot be in the mesh, and asks
// for it, is refused by the answer, or starts without it where Options.Ignore says so; what fails here, as a namespace that cannot be
// had, is an error of HTTP, of which the webhook's own failurePolicy decides.
func Handler(w Webhook) http.Handler {
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if err := w.serve(rw, req); err != nil {
			status := http.StatusInternalServerError
			if bad, ok := errors.AsType[*badReview](err); ok {
				status = bad.status
			}
			w.Log.Warn("an admission review failed", "error", err)
			http.Error(rw, err.Error(), status)
		}
	})
}

// badReview is a request that is none of the API server's.
type badReview struct {
	status int
	text   string
}

func (e *badReview) Error() string { return e.text }

func (w *Webhook) serve(rw http.ResponseWriter, req *http.Request) error {
	raw, err := body(rw, req)
	if err != nil {
		return err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(raw, &review); err != nil {
		return &badReview{http.StatusBadRequest, "not an admission review: " + err.Error()}
	}
	if review.Request == nil || review.APIVersion != "admission.k8s.io/v1" || review.Kind != "AdmissionReview" {
		return &badReview{http.StatusBadRequest, "not an AdmissionReview of admission.k8s.io/v1 with a request"}
	}
	answer, err := w.answer(req.Context(), review.Request)
	if err != nil {
		return err
	}
	answer.UID = review.Request.UID
	rw.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(rw).Encode(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: answer})
}

func body(rw http.ResponseWriter, req *http.Request) ([]byte, error) {
	if req.Method != http.MethodPost {
		return nil, &badReview{http.StatusMethodNotAllowed, "admission reviews are POSTed"}
	}
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &badReview{http.StatusUnsupportedMediaType, "admission reviews are application/json"}
	}
	raw, err := io.ReadAll(http.MaxBytesReader(rw, req.Body, maxReview))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, &badReview{http.StatusRequestEntityTooLarge, fmt.Sprintf("the review has more than %d bytes", maxReview)}
	}
	if err != nil {
		return nil, &badReview{http.StatusBadRequest, "read the review: " + err.Error()}
	}
	return raw, nil
}

// answer decides on one request.
func (w *Webhook) answer(ctx context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	if r.Operation != admissionv1.Create || r.Kind != (metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}) || r.SubResource != "" {
		return &admissionv1.AdmissionResponse{Allowed: true}, nil
	}
	var pod corev1.Pod
	if err := json.Unmarshal(r.Object.Raw, &pod); err != nil {
		return nil, &badReview{http.StatusBadRequest, "the review's object is no pod: " + err.Error()}
	}
	namespace, err := w.Namespace(ctx, r.Namespace)
	if err != nil {
		return nil, fmt.Errorf("namespace %s of a new pod: %w", r.Namespace, err)
	}
	namespace.Name = r.Namespace
	pod.Name = cmp.Or(pod.Name, r.Name)
	o := w.Options()
	if o.Adopt && w.Foreign != nil {
		if o.Foreign, err = w.Foreign(ctx); err != nil {
			return nil, fmt.Errorf("which other meshes inject: %w", err)
		}
	}
	d := Decide(&pod, namespace, o)
	out := &admissionv1.AdmissionResponse{Allowed: true, Warnings: warnings(d.Found), AuditAnnotations: map[string]string{"because": d.Because}}
	w.Log.Debug("a new pod", "namespace", r.Namespace, "pod", nameOf(&pod), "inject", d.Inject, "because", d.Because)
	if why := d.Refused(); len(why) > 0 {
		w.Log.Warn("a new pod cannot be in the mesh", "namespace", r.Namespace, "pod", nameOf(&pod), "started", o.Ignore, "why", why[0].String())
		if !o.Ignore {
			out.Allowed, out.Result = false, refusal(why)
		}
		return out, nil
	}
	if len(d.Ops) > 0 {
		if _, err := apply(r.Object.Raw, d.Ops); err != nil { // JSON in which nothing is where the API server has it
			return nil, &badReview{http.StatusBadRequest, "the review's object is no pod as the API server writes it: " + err.Error()}
		}
		kind := admissionv1.PatchTypeJSONPatch
		out.PatchType = &kind
		if out.Patch, err = json.Marshal(d.Ops); err != nil {
			return nil, fmt.Errorf("write the patch: %w", err)
		}
	}
	return out, nil
}

// refusal is what kubectl prints, and what the events of a Deployment's ReplicaSet say.
func refusal(why []mesh.Finding) *metav1.Status {
	var text []string
	for i := range why {
		text = append(text, sentence(&why[i]))
	}
	return &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden,
		Message: "the pod asks to be in the mesh, and cannot be: " + strings.Join(text, "; ") + ". Without the mesh it starts with the label " + Label + "=" + disabled}
}

// sentence is a finding without its object, which the reader knows.
func sentence(f *mesh.Finding) string {
	s := f.Text
	if f.Field != "" {
		s = f.Field + ": " + s
	}
	if f.Remedy != "" {
		s += " (" + f.Remedy + ")"
	}
	return s
}

func warnings(found []mesh.Finding) (out []string) {
	for i := range found {
		if found[i].Level != mesh.Info {
			s := "weft: " + sentence(&found[i])
			if len(s) > maxWarning {
				s = strings.ToValidUTF8(s[:maxWarning-3], "") + "..."
			}
			out = append(out, s)
		}
	}
	return out
}
