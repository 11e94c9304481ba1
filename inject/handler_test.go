package inject

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
)

// webhook answers for namespaces that all ask for the mesh, but "lost", which cannot be had.
func webhook(o Options) http.Handler {
	return Handler(Webhook{
		Options: func() Options { return o },
		Namespace: func(_ context.Context, name string) (Namespace, error) {
			if name == "lost" {
				return Namespace{}, errors.New("the API server does not answer")
			}
			return Namespace{Labels: map[string]string{Label: "enabled"}}, nil
		},
	})
}

func review(namespace, operation, pod string) string {
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","kind":{"group":"","version":"v1","kind":"Pod"},
		"namespace":"` + namespace + `","operation":"` + operation + `","object":` + pod + `}}`
}

func post(h http.Handler, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func answer(t *testing.T, rec *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &out); rec.Code != http.StatusOK || err != nil || out.Response == nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	if out.Response.UID != "u1" || out.APIVersion != "admission.k8s.io/v1" || out.Kind != "AdmissionReview" {
		t.Errorf("it is the answer to another question: %s", rec.Body)
	}
	return out.Response
}

const web = `{"metadata":{"generateName":"web-"},"spec":{"containers":[{"name":"web","image":"web:1","restartRules":{"of":"tomorrow"}}]}}`

func TestHandler(t *testing.T) {
	h := webhook(options(t, ""))
	got := answer(t, post(h, review("shop", "CREATE", web)))
	if !got.Allowed || got.PatchType == nil || *got.PatchType != admissionv1.PatchTypeJSONPatch || got.AuditAnnotations["because"] == "" {
		t.Fatalf("%+v", got)
	}
	var ops []Op
	if err := json.Unmarshal(got.Patch, &ops); err != nil {
		t.Fatal(err)
	}
	raw, err := apply([]byte(web), ops)
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil || len(pod.Spec.InitContainers) != 2 || pod.Annotations[Injected] != "v1" {
		t.Errorf("%v: %s", err, raw)
	}
	if !bytes.Contains(raw, []byte("tomorrow")) {
		t.Errorf("a field that is not known yet is gone: %s", raw)
	}
	for what, ask := range map[string]string{
		"an update": review("shop", "UPDATE", web), "the mesh's own": review("weft-system", "CREATE", web), "a node's": review("kube-system", "CREATE", web),
		"another kind": strings.Replace(review("shop", "CREATE", web), `"kind":"Pod"`, `"kind":"Node"`, 1),
	} {
		if got := answer(t, post(h, ask)); !got.Allowed || got.Patch != nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// A pod that cannot be in the mesh starts or does not start as the policy says.
func TestHandlerRefuses(t *testing.T) {
	bad := strings.Replace(web, `"web:1"`, `"web:1","ports":[{"containerPort":15006}]`, 1)
	got := answer(t, post(webhook(options(t, "")), review("shop", "CREATE", bad)))
	if got.Allowed || got.Patch != nil || got.Result == nil || !strings.Contains(got.Result.Message, "spec.containers[0].ports[0].containerPort: the proxy listens on port 15006") ||
		!strings.Contains(got.Result.Message, "weft.dev/inject=disabled") {
		t.Errorf("%+v", got)
	}
	got = answer(t, post(webhook(options(t, "ignore: true")), review("shop", "CREATE", bad)))
	if !got.Allowed || got.Patch != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "15006") {
		t.Errorf("%+v", got)
	}
}

// Pods that another mesh's injector takes are left to it, as long as it is there; the question is asked only where it matters.
func TestHandlerForeign(t *testing.T) {
	there, err := []string{}, error(nil)
	asked := 0
	o := options(t, "adopt: true")
	h := Handler(Webhook{
		Options: func() Options { return o },
		Namespace: func(context.Context, string) (Namespace, error) {
			return Namespace{Labels: map[string]string{"istio-injection": "enabled"}}, nil
		},
		Foreign: func(context.Context) ([]string, error) {
			asked++
			return there, err
		},
	})
	if got := answer(t, post(h, review("shop", "CREATE", web))); got.Patch == nil {
		t.Errorf("%+v", got)
	}
	there = []string{InjectorOf("istio-sidecar-injector")}
	if got := answer(t, post(h, review("shop", "CREATE", web))); got.Patch != nil || !got.Allowed || len(got.Warnings) != 1 {
		t.Errorf("%+v", got)
	}
	if err = errors.New("gone"); post(h, review("shop", "CREATE", web)).Code != http.StatusInternalServerError {
		t.Error("nobody knows, and the pod starts")
	}
	if o.Adopt = false; answer(t, post(h, review("shop", "CREATE", web))).Patch != nil || asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}

// What is none of the API server's questions is an error of HTTP; of what fails here, its own failure policy decides.
func TestHandlerErrors(t *testing.T) {
	h := webhook(options(t, ""))
	for body, want := range map[string]int{
		"":   http.StatusBadRequest,
		"{}": http.StatusBadRequest,
		`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`:                      http.StatusBadRequest,
		strings.Replace(review("shop", "CREATE", web), "io/v1", "io/v1beta1", 1):             http.StatusBadRequest,
		review("shop", "CREATE", `{"spec":7}`):                                               http.StatusBadRequest,
		review("shop", "CREATE", `"`+strings.Repeat("x", maxReview)+`"`):                     http.StatusRequestEntityTooLarge,
		review("lost", "CREATE", web):                                                        http.StatusInternalServerError,
		strings.Replace(review("shop", "CREATE", web), `"object":`, `"object":null,"x":`, 1): http.StatusBadRequest,
	} {
		if rec := post(h, body); rec.Code != want {
			t.Errorf("%.200s: %d %s, want %d", body, rec.Code, rec.Body, want)
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, Path, nil))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Error(rec.Code)
	}
	req := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(review("shop", "CREATE", web)))
	req.Header.Set("Content-Type", "text/plain")
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	if rec.Code != http.StatusUnsupportedMediaType {
		t.Error(rec.Code)
	}
}

// Whatever is sent, the answer is one of HTTP's or a review that allows or explains, and its patch fits the object.
func FuzzHandler(f *testing.F) {
	f.Add([]byte(review("shop", "CREATE", web)))
	for _, e := range examples(f) {
		raw, err := json.Marshal(&e.pod)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(review("shop", "CREATE", string(raw))))
	}
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}`))
	h := webhook(options(f, "adopt: true"))
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := post(h, string(body))
		if rec.Code != http.StatusOK {
			if rec.Code == http.StatusInternalServerError {
				t.Errorf("%s", rec.Body)
			}
			return
		}
		var ask, got admissionv1.AdmissionReview
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.Response == nil {
			t.Fatalf("%v: %s", err, rec.Body)
		}
		if !got.Response.Allowed && (got.Response.Result == nil || got.Response.Result.Message == "") {
			t.Errorf("refused without a reason: %s", rec.Body)
		}
		if got.Response.Patch == nil {
			return
		}
		var ops []Op
		if err := json.Unmarshal(got.Response.Patch, &ops); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(body, &ask); err != nil {
			t.Fatal(err)
		}
		raw, err := apply(ask.Request.Object.Raw, ops)
		if err != nil {
			t.Fatal(err)
		}
		var pod corev1.Pod
		if err := json.Unmarshal(raw, &pod); err != nil {
			t.Fatal(err)
		}
		d := Decide(&pod, Namespace{Name: ask.Request.Namespace, Labels: map[string]string{Label: "enabled"}}, options(t, "adopt: true"))
		if len(d.Ops) > 0 {
			t.Errorf("asked again, it changes the pod again: %v", d.Ops)
		}
	})
}
