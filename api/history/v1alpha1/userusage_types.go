package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// +kubebuilder:object:root=true

// UserUsage is what the kept AccessRecords of one RelayUser come to. Its name is the RelayUser's.
type UserUsage struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// user names the RelayUser.
	User string `json:"user"`
	// servers name the RelayServers of which there are records.
	// +listType=set
	// +optional
	Servers []string `json:"servers,omitempty"`
	// connectedTime is for how long the user has been connected in all.
	ConnectedTime metav1.Duration `json:"connectedTime"`
	// attempts is how many attempts there were.
	Attempts int64 `json:"attempts"`
	// failures is how many of the attempts were denied.
	Failures int64 `json:"failures"`
	// firstTime is when the oldest of the attempts began.
	// +optional
	FirstTime *metav1.MicroTime `json:"firstTime,omitempty"`
	// lastTime is when the newest of the attempts began.
	// +optional
	LastTime *metav1.MicroTime `json:"lastTime,omitempty"`
}

// +kubebuilder:object:root=true

// UserUsageList is a page of UserUsages, in the order of their names.
type UserUsageList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the list's metadata. continue asks for the next page.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the usages.
	Items []UserUsage `json:"items"`
}
