package failures

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
)

// Attempts records what authn tells of logins.
type Attempts struct {
	Recorder *Recorder
	// Sidecar is who answered.
	Sidecar string
}

// Record is authn's Recorder.
func (a Attempts) Record(e authn.Event) {
	account := Account{
		Name: e.Account.Name, UID: e.Account.UID,
		Failing:   e.Account.LastFailure.After(e.Account.LastLogin),
		LastLogin: e.Account.LastLogin,
	}
	slot := v1alpha1.Slot(e.Result.Slot.String())
	if e.Result.Allowed() {
		id := ""
		if slot != "" {
			id = e.Account.BindingIDs[e.Result.Slot]
		}
		a.Recorder.Login(account, slot, id, e.Time)
		return
	}
	a.Recorder.Failure(account, a.failure(e, slot), e.FailureHistoryLimit)
}

func (a Attempts) failure(e authn.Event, slot v1alpha1.Slot) v1alpha1.LoginFailure {
	at := metav1.NewTime(e.Time)
	f := v1alpha1.LoginFailure{
		Reason:        v1alpha1.Reason(e.Result.Reason.String()),
		FirstTime:     at,
		LastTime:      at,
		Count:         1,
		Slot:          slot,
		Program:       v1alpha1.Program(e.Attempt.Program.String()),
		MACAddress:    e.Attempt.MAC.String(),
		Sidecar:       a.Sidecar,
		CorrelationID: e.Attempt.ID,
	}
	if e.Attempt.Source.IsValid() {
		f.SourceAddress = e.Attempt.Source.String()
	}
	if len(e.Device.Digests) > 0 {
		f.Digest = v1alpha1.DeviceDigest(e.Device.Digests[0])
	}
	return f
}
