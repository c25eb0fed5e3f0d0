// Package v1alpha1 holds the kinds that the history server serves: AccessRecord (one connection attempt) and
// UserUsage (what a user's attempts come to). They are read only, and are not in etcd.
//
// It owns the types. It imports only apimachinery and holds no behaviour.
//
// +kubebuilder:object:generate=true
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.tegata.history.v1alpha1
// +groupName=history.tegata.dev
package v1alpha1
