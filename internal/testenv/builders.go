package testenv

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// Server is a RelayServer with the defaults of the API, changed by the options.
func Server(namespace, name string, options ...func(*v1alpha1.RelayServer)) *v1alpha1.RelayServer {
	server := &v1alpha1.RelayServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.RelayServerSpec{Host: name + ".example.com"},
	}
	for _, option := range options {
		option(server)
	}
	return server
}

// User is a RelayUser of the server, who may use the PC viewer, changed by the options.
func User(namespace, name, server string, options ...func(*v1alpha1.RelayUser)) *v1alpha1.RelayUser {
	user := &v1alpha1.RelayUser{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.RelayUserSpec{ServerRef: v1alpha1.LocalReference{Name: server}},
	}
	for _, option := range options {
		option(user)
	}
	return user
}

// Mobile permits the user a phone too, with one device in all: whichever is registered first.
func Mobile(user *v1alpha1.RelayUser) { user.Spec.Programs.Viewer.Mobile = true }

// Combined permits the user a PC and a phone at the same time.
func Combined(user *v1alpha1.RelayUser) {
	user.Spec.Programs.Viewer.Mobile, user.Spec.Programs.Viewer.Combined = true, true
}

// WithPasswordSecret names the Secret that holds the user's password.
func WithPasswordSecret(name string) func(*v1alpha1.RelayUser) {
	return func(user *v1alpha1.RelayUser) {
		user.Spec.Password = &v1alpha1.PasswordSource{SecretRef: v1alpha1.LocalReference{Name: name}}
	}
}

// PasswordSecret is a Secret with a password, labelled so that a RelayUser may name it.
func PasswordSecret(namespace, name, password string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{v1alpha1.LabelSecretType: v1alpha1.SecretTypePassword},
		},
		StringData: map[string]string{"password": password},
	}
}
