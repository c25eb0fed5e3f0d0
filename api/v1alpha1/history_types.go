package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// UnknownUserNames says what becomes of login names that nobody has.
// +kubebuilder:validation:Enum=Omit;Keep
type UnknownUserNames string

const (
	// UnknownUserNamesOmit records the attempt without the name.
	UnknownUserNamesOmit UnknownUserNames = "Omit"
	// UnknownUserNamesKeep records the name as typed. It may be a password.
	UnknownUserNamesKeep UnknownUserNames = "Keep"
)

// HistoryPolicy shapes what is kept of connection attempts.
type HistoryPolicy struct {
	// retention is for how long records of connection attempts are kept. They are removed by whole months, so
	// some stay for a month longer. Between 24h and 87600h.
	// +kubebuilder:default="8760h"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,9}ms|[0-9]{1,6}([.][0-9]{1,6})?[smh])+$') && duration(self) >= duration('24h') && duration(self) <= duration('87600h')",message="must be a duration between 24h and 87600h, such as 8760h"
	// +optional
	Retention metav1.Duration `json:"retention,omitempty,omitzero"`

	// unknownUserNames says whether records of attempts under a login name that nobody has hold that name. Omit:
	// they do not, because people type passwords into the wrong field. Keep: they do.
	// +kubebuilder:default=Omit
	// +optional
	UnknownUserNames UnknownUserNames `json:"unknownUserNames,omitempty"`
}

// MaxSidecarLosses bounds HistoryStatus.Sidecars.
const MaxSidecarLosses = 256

// HistoryStatus is what the sidecars tell of the records that they send to a history server.
type HistoryStatus struct {
	// lostRecords is how many records were lost so far, as far as the sidecars could tell.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LostRecords int64 `json:"lostRecords"`
	// lastLossTime is when the manager last heard of a loss.
	// +optional
	LastLossTime *metav1.Time `json:"lastLossTime,omitempty"`
	// waitingRecords is how many records have to wait because the history server is away, in two digits. Those
	// on their way are not counted.
	// +kubebuilder:validation:Minimum=0
	// +optional
	WaitingRecords int64 `json:"waitingRecords"`
	// sidecars are those that have lost records, each with how many of them lostRecords counts.
	// +listType=map
	// +listMapKey=lease
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Sidecars []SidecarLoss `json:"sidecars,omitempty"`
}

// SidecarLoss is what one sidecar has lost.
type SidecarLoss struct {
	// lease is the name of the sidecar's Lease.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Lease string `json:"lease"`
	// lostRecords is how many records it had lost when its Lease was last read.
	// +kubebuilder:validation:Minimum=0
	LostRecords int64 `json:"lostRecords"`
}
