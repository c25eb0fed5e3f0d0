package inject_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestLabelIsEnough: a pod with nothing but the label gets the sidecar, and the relay in it loses nothing but the token.
func TestLabelIsEnough(t *testing.T) {
	env := shared(t)
	namespace := relayNamespace(t, env)
	plain := admitted(t, env, relayPod(namespace, func(p *corev1.Pod) { p.Labels = nil }))
	if len(plain.Spec.InitContainers) > 0 || len(plain.Spec.Containers[0].VolumeMounts) != 1 {
		t.Fatalf("a pod without the label: %+v", plain.Spec)
	}

	pod := admitted(t, env, relayPod(namespace))
	sidecar := sidecarOf(t, pod)
	if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Errorf("the sidecar's restart policy is %v", sidecar.RestartPolicy)
	}
	if pod.Spec.ServiceAccountName != "relay" {
		t.Errorf("the pod runs as %s", pod.Spec.ServiceAccountName)
	}
	want := plain.Spec.Containers[0].DeepCopy()
	want.VolumeMounts = nil
	if diff := cmp.Diff([]corev1.Container{*want}, pod.Spec.Containers); diff != "" {
		t.Errorf("the relay (-want +got):\n%s", diff)
	}
	if len(pod.Spec.Volumes) != 1 || pod.Spec.Volumes[0].Name != "tegata-token" {
		t.Errorf("volumes are %v", pod.Spec.Volumes)
	}
}

// TestInjectionKeepsWhatIsThere: the sidecar comes first, so that what the relay starts before itself can ask it.
func TestInjectionKeepsWhatIsThere(t *testing.T) {
	env := shared(t)
	mine := corev1.VolumeMount{Name: "mine", MountPath: "/mine"}
	pod := admitted(t, env, relayPod(relayNamespace(t, env), func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "mine"}, {Name: "vault", VolumeSource: audienceToken("vault")}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{mine, {Name: "vault", MountPath: "/vault"}}
		p.Spec.InitContainers = []corev1.Container{
			{Name: "prepare", Image: "prepare", VolumeMounts: []corev1.VolumeMount{mine}}, {Name: "wait", Image: "wait"},
		}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "log", Image: "log", VolumeMounts: []corev1.VolumeMount{mine}})
	}))
	var inits, volumes []string
	for _, c := range pod.Spec.InitContainers {
		inits = append(inits, c.Name)
	}
	for _, v := range pod.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	if diff := cmp.Diff([]string{"tegata-sidecar", "prepare", "wait"}, inits); diff != "" {
		t.Errorf("init containers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"mine", "vault", "tegata-token"}, volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	for name, c := range map[string]corev1.Container{"prepare": pod.Spec.InitContainers[1], "log": pod.Spec.Containers[1]} {
		if diff := cmp.Diff([]corev1.VolumeMount{mine}, c.VolumeMounts); diff != "" {
			t.Errorf("%s mounts (-want +got):\n%s", name, diff)
		}
	}
	if got := pod.Spec.Containers[0].VolumeMounts; len(got) != 2 {
		t.Errorf("the relay mounts %v", got)
	}
}

func audienceToken(audience string) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: audience}},
	}}}
}

// TestSidecarWithstandsThePod: whatever the pod says for the relay, the sidecar is not root and cannot become so.
func TestSidecarWithstandsThePod(t *testing.T) {
	env := shared(t)
	pod := admitted(t, env, relayPod(relayNamespace(t, env), func(p *corev1.Pod) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64), RunAsNonRoot: new(bool)}
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}}}
	}))
	got := sidecarOf(t, pod).SecurityContext
	if got == nil || !*got.RunAsNonRoot || *got.RunAsUser == 0 || *got.AllowPrivilegeEscalation || !*got.ReadOnlyRootFilesystem ||
		got.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || !slices.Contains(got.Capabilities.Drop, "ALL") {
		t.Errorf("its security context is %+v", got)
	}
}

// TestInjectedPodIsRestricted: where Pod Security is, a pod that would be admitted without the sidecar is so with it.
func TestInjectedPodIsRestricted(t *testing.T) {
	env := shared(t)
	namespace := relayNamespace(t, env)
	if _, stderr, err := env.Kubectl(t, "", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"); err != nil {
		t.Fatal(stderr)
	}
	pod := relayPod(namespace, annotated("tls-secret", "cert", "history-address", "https://tegata-history.tegata-system.svc"))
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	admitted(t, env, pod)
}

// TestPodTemplateIsTaken: image, resources and environment are said there.
func TestPodTemplateIsTaken(t *testing.T) {
	env := shared(t)
	template := &corev1.PodTemplate{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: "tegata-system", Name: "tegata-sidecar"}, template); err != nil {
		t.Fatal(err)
	}
	want := &template.Template.Spec.Containers[0]
	namespace := relayNamespace(t, env)
	got := sidecarOf(t, admitted(t, env, relayPod(namespace)))
	if got.Image != want.Image || got.ImagePullPolicy != want.ImagePullPolicy {
		t.Errorf("its image is %s, %s; want %s, %s", got.Image, got.ImagePullPolicy, want.Image, want.ImagePullPolicy)
	}
	if diff := cmp.Diff(want.Resources, got.Resources, cmp.Comparer(resource.Quantity.Equal)); diff != "" {
		t.Errorf("its resources (-want +got):\n%s", diff)
	}
	for _, variable := range want.Env {
		if !slices.Contains(got.Env, variable) {
			t.Errorf("its environment has no %v", variable)
		}
	}
}

// TestInjectionHappensOnce: a pod that has the sidecar, by hand or because it was admitted before, is left alone.
func TestInjectionHappensOnce(t *testing.T) {
	env := shared(t)
	namespace := relayNamespace(t, env)
	once := admitted(t, env, relayPod(namespace, annotated("tls-secret", "cert")))
	again := admitted(t, env, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "again", Labels: once.Labels, Annotations: once.Annotations}, Spec: *once.Spec.DeepCopy(),
	})
	if diff := cmp.Diff(once.Spec, again.Spec); diff != "" {
		t.Errorf("admitted again (-once +again):\n%s", diff)
	}
	own := relayPod(namespace)
	own.Spec.AutomountServiceAccountToken = new(false)
	own.Spec.InitContainers = []corev1.Container{{
		Name: "tegata-sidecar", Image: "mine", Args: []string{"--server=asp1"}, RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
	}}
	if got := sidecarOf(t, admitted(t, env, own)); got.Image != "mine" || len(got.Env) > 0 {
		t.Errorf("a sidecar by hand was changed: %+v", got)
	}
}

// TestInjectionWithOtherPolicies: one that runs later and changes the pod has all run again.
func TestInjectionWithOtherPolicies(t *testing.T) {
	env := shared(t)
	if err := testenv.Apply(t.Context(), env.Client, "", "testdata/other-injector.yaml"); err != nil {
		t.Fatal(err)
	}
	namespace := relayNamespace(t, env)
	testenv.Eventually(t, activation, func() error {
		pod := relayPod(namespace, func(p *corev1.Pod) { p.Labels["example.com/inject"] = "true" })
		if err := env.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			return err
		}
		var names []string
		for _, c := range pod.Spec.InitContainers {
			names = append(names, c.Name)
		}
		if diff := cmp.Diff([]string{"other", "tegata-sidecar"}, names); diff != "" {
			return &unexpected{"init containers (-want +got):\n" + diff}
		}
		for _, c := range append(pod.Spec.InitContainers[:1:1], pod.Spec.Containers...) {
			if len(c.VolumeMounts) > 0 {
				return &unexpected{c.Name + " mounts " + c.VolumeMounts[0].Name}
			}
		}
		return nil
	})
}

type unexpected struct{ what string }

func (u *unexpected) Error() string { return u.what }

// TestOtherPodsDoNotWait for anything of ours, not even when half of it is gone.
func TestOtherPodsDoNotWait(t *testing.T) {
	env := testenv.New(t)
	if err := testenv.Apply(t.Context(), env.Client, "", "."); err != nil {
		t.Fatal(err)
	}
	namespace := relayNamespace(t, env)
	awaitInjection(t, env.Client, namespace)
	if err := env.Client.Delete(t.Context(), &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: "tegata-system", Name: "tegata-sidecar"}}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, activation, func() error {
		if err := env.Client.Create(t.Context(), relayPod(namespace), client.DryRunAll); err == nil {
			return &unexpected{"a pod with the label is admitted without the PodTemplate"}
		}
		return nil
	})
	admitted(t, env, relayPod(namespace, func(p *corev1.Pod) { p.Labels = nil }))
}
