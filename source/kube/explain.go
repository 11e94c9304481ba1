package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// explain says what weft was doing, what came of it, and what to do where that is known.
func (c *Cluster) explain(doing string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return &apiError{doing: doing, why: why(err, c.config.Host), err: err}
}

// apiError is an answer of the API server, or none, in words.
type apiError struct {
	doing, why string
	err        error
}

func (e *apiError) Error() string { return e.doing + ": " + e.why }

func (e *apiError) Unwrap() []error {
	if apierrors.IsNotFound(e.err) {
		return []error{e.err, ErrAbsent}
	}
	return []error{e.err}
}

func why(err error, host string) string {
	var status apierrors.APIStatus
	var network net.Error
	switch {
	case apierrors.IsUnauthorized(err):
		return "the API server does not know who this is: the token or certificate is expired, or of another cluster (" + err.Error() + ")"
	case apierrors.IsForbidden(err):
		return reason(err) + "; a role that allows it is missing: weft install writes those of weft-control, and a user needs an administrator to grant it"
	case errors.As(err, &status):
		return reason(err)
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the API server at %s does not answer: %v; is it up, and may a NetworkPolicy or firewall be in between?", host, err)
	}
	return err.Error()
}

// reason is what the API server says, with the causes that its message leaves out.
func reason(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err.Error()
	}
	text := status.Status().Message
	if text == "" {
		text = string(status.Status().Reason)
	}
	if d := status.Status().Details; d != nil && status.Status().Reason != metav1.StatusReasonForbidden {
		for _, cause := range d.Causes {
			if !strings.Contains(text, cause.Message) {
				text += "; " + cause.Field + ": " + cause.Message
			}
		}
	}
	return text
}
