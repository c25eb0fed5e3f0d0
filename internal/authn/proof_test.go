package authn

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
)

// prove is a login from the PC viewer with a proof, which holds unless there is an error.
func (s *stage) prove(t *testing.T, user, plain string, f *fingerprint.Fingerprint, asked *int, err error) Result {
	t.Helper()
	return s.Check(t.Context(), &Attempt{
		Listener: "test", ID: NewCorrelationID(s.now), Arrival: s.now, UserName: user, Password: []byte(plain),
		Program: decision.ProgramViewer, Viewer: decision.ViewerPC, Fingerprint: f, Source: netip.MustParseAddr(home),
		Proven: func() error { *asked++; return err },
	})
}

func proven(thumbprint byte) *fingerprint.Fingerprint {
	return new(fingerprint.FromThumbprint([32]byte{thumbprint}))
}

// bindProof binds the device of that key to the owner's slot pc.
func (s *stage) bindProof(thumbprint byte) {
	s.change(func(u *decision.User) {
		u.Slots[decision.SlotPC].Digest = testKeys.Device(*proven(thumbprint)).Digests[0]
	})
}

var errReplayed = errors.New("the challenge was used before")

// TestProofIsJudgedAfterThePassword: whatever is wrong with a proof, its login costs one password hash like
// any other; and it is asked for once, if a password was checked at all.
func TestProofIsJudgedAfterThePassword(t *testing.T) {
	for name, tc := range map[string]struct {
		user, plain string
		device      *fingerprint.Fingerprint
		err         error
		prepare     func(*stage)
		want        decision.Reason
		wantHashes  int
		wantAsked   int
	}{
		"it holds":               {user: "owner", plain: right, device: proven(1), want: decision.ReasonNone, wantHashes: 1, wantAsked: 1},
		"replayed":               {user: "owner", plain: right, device: proven(1), err: errReplayed, want: decision.DeviceProofInvalid, wantHashes: 1, wantAsked: 1},
		"a bad signature":        {user: "owner", plain: right, err: errReplayed, want: decision.DeviceProofInvalid, wantHashes: 1, wantAsked: 1},
		"another device":         {user: "owner", plain: right, device: proven(2), want: decision.DeviceMismatch, wantHashes: 1, wantAsked: 1},
		"and a wrong password":   {user: "owner", plain: wrong, err: errReplayed, want: decision.PasswordMismatch, wantHashes: 1, wantAsked: 1},
		"of a name nobody has":   {user: "nobody", plain: right, err: errReplayed, want: decision.UnknownUser, wantHashes: 1, wantAsked: 1},
		"no room for its hash":   {user: "owner", plain: right, device: proven(1), prepare: func(s *stage) { s.busy = password.ErrBusy }, want: decision.ServerUnavailable},
		"throttled":              {user: "owner", plain: right, device: proven(2), prepare: func(s *stage) { s.drainName(t); s.verified = 0 }, want: decision.Throttled},
		"the knowledge is stale": {user: "owner", plain: right, device: proven(1), prepare: func(s *stage) { s.fresh = false }, want: decision.ServerUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.bindProof(1)
			if tc.prepare != nil {
				tc.prepare(s)
			}
			asked := 0
			wantReason(t, s.prove(t, tc.user, tc.plain, tc.device, &asked, tc.err), tc.want)
			if s.verified != tc.wantHashes || asked != tc.wantAsked {
				t.Errorf("%d hashes, and the proof asked for %d times; want %d and %d", s.verified, asked, tc.wantHashes, tc.wantAsked)
			}
			if told := strings.Contains(s.logged.String(), errReplayed.Error()); told != (tc.err != nil) {
				t.Errorf("the log says why: %v; it is\n%s", told, &s.logged)
			}
		})
	}
}

// TestReplayEnrolsNobody: a free slot is not taken by a proof that was used before.
func TestReplayEnrolsNobody(t *testing.T) {
	s := newStage(t)
	s.change(func(u *decision.User) { u.Slots[decision.SlotPC] = decision.SlotState{} })
	s.enroll = func(Enrollment) (decision.Outcome, error) {
		t.Error("an enrolment is asked for")
		return decision.Outcome{}, nil
	}
	asked := 0
	wantReason(t, s.prove(t, "owner", right, proven(1), &asked, errReplayed), decision.DeviceProofInvalid)
}

// TestKindsDoNotOpenEachOther: what one kind of device is known by is nothing to a slot that another kind
// is bound to, even where somebody knows its very value.
func TestKindsDoNotOpenEachOther(t *testing.T) {
	const value = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" // base64url of the thumbprint
	opaque, err := fingerprint.ParseOpaque(value)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]*fingerprint.Fingerprint{
		"opaque": &opaque, "certificate": new(fingerprint.FromPublicKey([32]byte{1})), "proof": proven(1),
	}
	for bound, own := range kinds {
		for shown, f := range kinds {
			s := newStage(t)
			s.change(func(u *decision.User) { u.Slots[decision.SlotPC].Digest = testKeys.Device(*own).Digests[0] })
			want := decision.DeviceMismatch
			if bound == shown {
				want = decision.ReasonNone
			}
			got := s.Check(t.Context(), &Attempt{
				Listener: "test", ID: NewCorrelationID(s.now), Arrival: s.now, UserName: "owner", Password: []byte(right),
				Program: decision.ProgramViewer, Viewer: decision.ViewerPC, Fingerprint: f, Source: netip.MustParseAddr(home),
			})
			if got.Reason != want {
				t.Errorf("%s shown to a slot of %s: %q, want %q", shown, bound, got.Reason, want)
			}
		}
	}
}
