package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// +kubebuilder:object:root=true

// AccessLog is the log of one RelayServer, whose name it has. It is there to be written to: sidecars post records to
// its subresource records, and may do so by RBAC. It cannot be read; what it holds are AccessRecords.
type AccessLog struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
}
