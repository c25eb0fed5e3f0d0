package binding

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/statuspatch"
)

// Client is what an Enroller needs: reads that come from the API server, not from a cache, and patches
// of status.
type Client interface {
	client.Reader
	statuspatch.Writer
}

// Enroller stores enrolments.
type Enroller struct {
	Client    Client
	Namespace string
	// User reads from a RelayUser what a decision depends on.
	User func(*v1alpha1.RelayUser) decision.User
	// Stored, when not nil, is told of each user as the API server has it after an enrolment.
	Stored func(*v1alpha1.RelayUser)
}

// Enrolled is what came of a Request.
type Enrolled struct {
	decision.Outcome
	// BindingID is the binding by which the device is admitted, empty when it is not.
	BindingID string
}

// Request is a device to be registered.
type Request struct {
	// Name and UID identify the RelayUser.
	Name, UID string
	Slot      v1alpha1.Slot
	Digest    decision.Digest
	Kind      v1alpha1.FingerprintKind
	Source    netip.Addr
	Time      time.Time
	// Decide judges the stored state of the user.
	Decide func(*decision.User) decision.Outcome
}

// ErrUserGone says that the RelayUser was deleted, or deleted and made anew.
var ErrUserGone = errors.New("user is gone")

// pause is how long an Enroller waits after it lost a race against another write, at first.
const pause = 5 * time.Millisecond

// Enroll reads the user from the API server, lets Decide judge it, and, if the verdict is still to enrol,
// stores the binding under the resourceVersion that was judged. When somebody else wrote in between it
// starts over, until ctx ends; a device that lost the race for the slot is so judged against the winner.
//
// It returns the verdict on the state that it stored or found. An error says that no binding is known to
// be stored. One may be all the same, when the answer to the write was lost: the next login finds it.
func (e *Enroller) Enroll(ctx context.Context, r Request) (Enrolled, error) {
	id := crand.Text()
	for wait := pause; ; wait = min(2*wait, 40*pause) {
		enrolled, err := e.try(ctx, r, id)
		if err == nil || !retryable(err) {
			return enrolled, err
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return Enrolled{}, fmt.Errorf("enrol on %s: %w", r.Name, err)
		}
	}
}

func (e *Enroller) try(ctx context.Context, r Request, id string) (Enrolled, error) {
	var user v1alpha1.RelayUser
	if err := e.Client.Get(ctx, client.ObjectKey{Namespace: e.Namespace, Name: r.Name}, &user); err != nil {
		return Enrolled{}, fmt.Errorf("read user %s: %w", r.Name, err)
	}
	if string(user.UID) != r.UID || user.DeletionTimestamp != nil {
		return Enrolled{}, fmt.Errorf("user %s: %w", r.Name, ErrUserGone)
	}
	state := e.User(&user)
	outcome := r.Decide(&state)
	if s := Find(&user.Status, r.Slot); s != nil && s.Binding != nil && s.Binding.ID == id && outcome.Verdict == decision.Allow {
		// The write had arrived although its answer had not.
		outcome.Verdict = decision.Enroll
		return e.enrolled(&user, r.Slot, outcome), nil
	}
	if outcome.Verdict != decision.Enroll {
		return e.enrolled(&user, r.Slot, outcome), nil
	}
	if _, err := statuspatch.Apply(ctx, e.Client, &user, func(u *v1alpha1.RelayUser) {
		Bind(&u.Status, r.Slot, r.binding(id))
	}); err != nil {
		return Enrolled{}, err
	}
	return e.enrolled(&user, r.Slot, outcome), nil
}

func (e *Enroller) enrolled(user *v1alpha1.RelayUser, slot v1alpha1.Slot, outcome decision.Outcome) Enrolled {
	if e.Stored != nil {
		e.Stored(user)
	}
	enrolled := Enrolled{Outcome: outcome}
	if s := Find(&user.Status, slot); s != nil && s.Binding != nil && outcome.Verdict != decision.Deny {
		enrolled.BindingID = s.Binding.ID
	}
	return enrolled
}

func (r Request) binding(id string) v1alpha1.Binding {
	b := v1alpha1.Binding{
		ID: id, Digest: v1alpha1.DeviceDigest(r.Digest), Kind: r.Kind, RegisteredTime: metav1.NewTime(r.Time),
	}
	if r.Source.IsValid() {
		b.RegisteredFrom = r.Source.String()
	}
	return b
}

// retryable says that another attempt may succeed. What the API server refuses for good (the user is
// gone, this sidecar may not) is not tried again.
func retryable(err error) bool {
	switch {
	case errors.Is(err, ErrUserGone), apierrors.IsNotFound(err), apierrors.IsForbidden(err),
		apierrors.IsUnauthorized(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return false
	}
	return true
}
