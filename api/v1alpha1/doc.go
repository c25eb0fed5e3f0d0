// Package v1alpha1 holds the kinds of Tegata: RelayServer (one relay and its policy), RelayUser (one
// person and the devices bound to them) and DeviceReset (the one-shot request that frees a slot).
//
// It owns the types, their validation and the words used in conditions and reasons. It imports only
// apimachinery and holds no behaviour.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=tegata.dev
package v1alpha1
