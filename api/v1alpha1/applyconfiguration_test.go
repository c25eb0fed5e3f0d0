package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	v1alpha1ac "github.com/tegata-dev/tegata/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// TestApplyConfigurations applies each kind as a Go program would, twice: the second changes nothing. Each
// time the configuration is made anew, because the client puts into it what the API server answers.
func TestApplyConfigurations(t *testing.T) {
	k := newKubectl(t)
	for name, tc := range map[string]struct {
		apply func() runtime.ApplyConfiguration
		read  client.Object
	}{
		"asp1": {
			func() runtime.ApplyConfiguration {
				return v1alpha1ac.RelayServer("asp1", k.namespace).WithSpec(v1alpha1ac.RelayServerSpec().
					WithHost("asp1.example.com").WithEnrollment(v1alpha1.EnrollmentReservedOnly).
					WithTrustedProxies("10.0.0.0/8", "192.0.2.0/24").
					WithDenial(v1alpha1ac.Denial().WithMessages(v1alpha1ac.DenialMessage().WithLanguage("ja").WithText("接続できません"))))
			},
			&v1alpha1.RelayServer{},
		},
		"taro": {func() runtime.ApplyConfiguration { return applyTaro(k) }, &v1alpha1.RelayUser{}},
		"taro-new-phone": {
			func() runtime.ApplyConfiguration {
				return v1alpha1ac.DeviceReset("taro-new-phone", k.namespace).WithSpec(v1alpha1ac.DeviceResetSpec().
					WithUserRef(v1alpha1ac.LocalReference().WithName("taro")).WithSlots(v1alpha1.SlotMobile).WithReason("INC-1234"))
			},
			&v1alpha1.DeviceReset{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var versions []string
			// The API server stores its default of status with the first change, which the manager makes before.
			for range 3 {
				if err := k.env.Client.Apply(t.Context(), tc.apply(), platform); err != nil {
					t.Fatal(err)
				}
				versions = append(versions, get(k.in(t), tc.read, name).GetResourceVersion())
			}
			if versions[1] != versions[2] {
				t.Errorf("resourceVersion %s after applying, %s after applying again", versions[1], versions[2])
			}
		})
	}
}

const platform = client.FieldOwner("platform")

func applyTaro(k kubectl) *v1alpha1ac.RelayUserApplyConfiguration {
	return v1alpha1ac.RelayUser("taro", k.namespace).WithSpec(v1alpha1ac.RelayUserSpec().
		WithServerRef(v1alpha1ac.LocalReference().WithName("asp1")).
		WithPrograms(v1alpha1ac.Programs().WithViewer(v1alpha1ac.ViewerPrograms().WithMobile(true).WithCombined(true))).
		WithNetwork(v1alpha1ac.Network().WithViewer(v1alpha1ac.NetworkLimits().WithAllowedCIDRs("10.0.0.0/8"))))
}

// TestExtract: what a program has applied can be read back as it was.
func TestExtract(t *testing.T) {
	k := newKubectl(t)
	if err := k.env.Client.Apply(t.Context(), applyTaro(k), platform); err != nil {
		t.Fatal(err)
	}
	extracted, err := v1alpha1ac.ExtractRelayUser(get(k, &v1alpha1.RelayUser{}, "taro"), string(platform))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(applyTaro(k), extracted); diff != "" {
		t.Errorf("extracted (-applied +extracted):\n%s", diff)
	}
}
