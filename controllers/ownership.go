package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// Owner references do not block the owner's deletion: that would need permission on finalizers, and
// nothing here has to be gone before its owner is.

func ownerReference(owner client.Object, kind string) metav1.OwnerReference {
	controller := true
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: kind,
		Name: owner.GetName(), UID: owner.GetUID(), Controller: &controller,
	}
}

func serverReference(server *v1alpha1.RelayServer) metav1.OwnerReference {
	return ownerReference(server, kindRelayServer)
}

func applyReference(ref metav1.OwnerReference) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().WithAPIVersion(ref.APIVersion).WithKind(ref.Kind).
		WithName(ref.Name).WithUID(ref.UID).WithController(true)
}

// Kinds as owner references and commands spell them.
const (
	kindRelayServer = "RelayServer"
	kindRelayUser   = "RelayUser"
	kindDeviceReset = "DeviceReset"
)

// serverLabels mark what belongs to a server.
func serverLabels(server *v1alpha1.RelayServer) map[string]string {
	return map[string]string{v1alpha1.LabelRelayServer: server.Name}
}

func secretLabels(server *v1alpha1.RelayServer, secretType string) map[string]string {
	return map[string]string{
		v1alpha1.LabelRelayServer: server.Name,
		v1alpha1.LabelSecretType:  secretType,
	}
}

// hasLabels says whether obj has all of the labels.
func hasLabels(obj client.Object, want map[string]string) bool {
	have := obj.GetLabels()
	for name, value := range want {
		if have[name] != value {
			return false
		}
	}
	return true
}
