package controllers

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestNothingIsMadeInANamespaceThatGoes, and that is no error: the log and TegataReconcileFails are for what somebody
// can mend.
func TestNothingIsMadeInANamespaceThatGoes(t *testing.T) {
	env := testenv.Shared(t)
	name := env.Namespace(t)
	if err := env.Client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
	err := env.Client.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "asp1-credentials-0"}})
	if !apierrors.IsForbidden(err) {
		t.Fatalf("it was made: %v", err)
	}
	if result, err := outcome(0, fmt.Errorf("make secret: %w", err)); err != nil || !result.IsZero() {
		t.Errorf("the queue is told %+v, %v", result, err)
	}
	forbidden := apierrors.NewForbidden(corev1.Resource("secrets"), "asp1-credentials-0", errors.New("no such right"))
	if _, err := outcome(0, forbidden); err == nil {
		t.Error("a right that the manager does not have is no error")
	}
}
