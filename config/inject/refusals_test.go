package inject_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	badName        = `the label tegata.dev/relay-server must be the name of a RelayServer of this namespace, which has at most 40 lower-case letters, digits and hyphens: it is `
	nameTaken      = "a container named tegata-sidecar must be an init container with restartPolicy: Always: give yours another name"
	volumeTaken    = "the volume names tegata-token, tegata-tls, tegata-history and tegata-spool are the sidecar's: give yours another name"
	noHostNetwork  = "with hostNetwork everybody on the node could ask the sidecar, and a second pod would find its ports taken: leave hostNetwork out, or run the sidecar as a Deployment of its own (config/samples/central.yaml)"
	noShared       = "with shareProcessNamespace or hostPID the other containers could read the sidecar's token: leave it out"
	notTheTarget   = "in the sidecar's process namespace a debugger could read its token: let it have another target"
	notDefault     = `the pod's ServiceAccount gets the rights of the sidecar, and "default" is that of every other pod of the namespace, too: give the pod a serviceAccountName of its own`
	tokenForOthers = "only the sidecar may mount the ServiceAccount's token, because it can do what the sidecar can: set automountServiceAccountToken: false, and mount no volume with a serviceAccountToken for the API server, nor tegata-token, tegata-history or tegata-spool, in another container"
	noAnnotation   = "there is no such annotation of tegata.dev for pods: see docs/sidecar.md for those that there are"
	plaintext      = `a listener that is not on loopback needs a certificate, because passwords would cross the network in the clear: name its Secret by the annotation tegata.dev/tls-secret, or say tegata.dev/allow-plaintext: "true"`
	notBoolean     = `the annotations tegata.dev/allow-plaintext and tegata.dev/tls-client-certificates must be "true" or "false"`
)

func portsTaken(ports string) string {
	return "the containers of a pod share its ports, and the sidecar has " + ports +
		": give the other containers others, or the sidecar, by the annotations tegata.dev/…-address"
}

func malformed(annotation string) string {
	return "the annotation tegata.dev/" + annotation + " must be HOST:PORT or :PORT, such as 127.0.0.1:8295"
}

func labelled(value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[label] = value }
}

func spec(change func(*corev1.PodSpec)) func(*corev1.Pod) {
	return func(p *corev1.Pod) { change(&p.Spec) }
}

func port(number int32) func(*corev1.Pod) {
	return spec(func(s *corev1.PodSpec) { s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: number}} })
}

func volume(name string, source corev1.VolumeSource) func(*corev1.Pod) {
	return spec(func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: name, VolumeSource: source})
		s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/" + name})
	})
}

func podCertificate(signer string) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{PodCertificate: &corev1.PodCertificateProjection{SignerName: signer, KeyType: "ED25519", CredentialBundlePath: "bundle"}},
	}}}
}

// TestPodsThatCannotHaveASidecar are refused in words that say what to do; those that can are not.
func TestPodsThatCannotHaveASidecar(t *testing.T) {
	env := shared(t)
	namespace := relayNamespace(t, env)
	both := func(options ...func(*corev1.Pod)) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for _, option := range options {
				option(p)
			}
		}
	}
	for name, tc := range map[string]struct {
		change func(*corev1.Pod)
		want   string
	}{
		"a name of one letter":        {labelled("a"), ""},
		"a name as long as may be":    {labelled(strings.Repeat("a", 40)), ""},
		"an empty label":              {labelled(""), badName + `""`},
		"a name that is too long":     {labelled(strings.Repeat("a", 41)), badName + `"` + strings.Repeat("a", 41) + `"`},
		"a name in capitals":          {labelled("Asp1"), badName + `"Asp1"`},
		"a name with a dot":           {labelled("asp1.example"), badName + `"asp1.example"`},
		"a name with an underscore":   {labelled("asp_1"), badName + `"asp_1"`},
		"two mistakes":                {both(labelled("Asp1"), spec(func(s *corev1.PodSpec) { s.HostNetwork = true })), badName + `"Asp1"`},
		"the name of the sidecar":     {spec(func(s *corev1.PodSpec) { s.Containers[0].Name = "tegata-sidecar" }), nameTaken},
		"the same, to start first":    {spec(func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{{Name: "tegata-sidecar", Image: "x"}} }), nameTaken},
		"a volume of the sidecar's":   {volume("tegata-token", corev1.VolumeSource{}), volumeTaken},
		"another one":                 {volume("tegata-spool", corev1.VolumeSource{}), volumeTaken},
		"a volume that begins so":     {volume("tegata-mine", corev1.VolumeSource{}), ""},
		"the node's network":          {spec(func(s *corev1.PodSpec) { s.HostNetwork = true }), noHostNetwork},
		"one process namespace":       {spec(func(s *corev1.PodSpec) { s.ShareProcessNamespace = new(true) }), noShared},
		"the node's processes":        {spec(func(s *corev1.PodSpec) { s.HostPID = true }), noShared},
		"everybody's account":         {spec(func(s *corev1.PodSpec) { s.ServiceAccountName = "" }), notDefault},
		"the same by name":            {spec(func(s *corev1.PodSpec) { s.ServiceAccountName = "default" }), notDefault},
		"a wish for the token":        {spec(func(s *corev1.PodSpec) { s.AutomountServiceAccountToken = new(true) }), tokenForOthers},
		"a token of its own":          {volume("mine", audienceToken("")), tokenForOthers},
		"one by the server's name":    {volume("mine", audienceToken("https://kubernetes.default.svc.cluster.local")), tokenForOthers},
		"one for the history":         {volume("mine", audienceToken("tegata-history")), tokenForOthers},
		"a certificate as good":       {volume("mine", podCertificate("kubernetes.io/kube-apiserver-client-pod")), tokenForOthers},
		"a certificate for others":    {volume("mine", podCertificate("example.com/mesh")), ""},
		"a token for a namesake":      {volume("mine", audienceToken("https://kubernetes.defaults.example.com")), ""},
		"a token for somebody else":   {volume("vault", audienceToken("vault")), ""},
		"an annotation of another":    {func(p *corev1.Pod) { p.Annotations["example.com/x"] = "y" }, ""},
		"an annotation mistyped":      {annotated("forwardauth-address", ":1"), noAnnotation},
		"loopback":                    {annotated("forward-auth-address", "127.0.0.1:8295", "ext-authz-address", "[::1]:8296", "login-address", "localhost:9000"), ""},
		"no port":                     {annotated("forward-auth-address", "127.0.0.1"), malformed("forward-auth-address")},
		"an address of nonsense":      {annotated("radius-address", "$(TOKEN):1812"), malformed("radius-address")},
		"all addresses in the clear":  {annotated("forward-auth-address", ":8295"), plaintext},
		"like loopback":               {annotated("ext-authz-address", "127.0.0.1.example.com:8296"), plaintext},
		"plaintext on purpose":        {annotated("forward-auth-address", ":8295", "allow-plaintext", "true"), ""},
		"plaintext by yes":            {annotated("allow-plaintext", "yes"), notBoolean},
		"with a certificate":          {annotated("forward-auth-address", ":8295", "tls-secret", "asp1-tls"), ""},
		"a certificate by path":       {annotated("tls-secret", "../asp1"), "the annotation tegata.dev/tls-secret must be the name of a Secret of this namespace"},
		"RADIUS":                      {annotated("radius-address", ":1812", "radius-accounting-address", ":1813"), ""},
		"RadSec without certificate":  {annotated("radsec-address", ":2083"), "tegata.dev/radsec-address needs a certificate: name its Secret by the annotation tegata.dev/tls-secret"},
		"a history server":            {annotated("history-address", "https://tegata-history.tegata-system.svc:443"), ""},
		"a history in the clear":      {annotated("history-address", "http://tegata-history.tegata-system.svc"), "the annotation tegata.dev/history-address must be https://HOST or https://HOST:PORT"},
		"a log level":                 {annotated("log-level", "debug"), ""},
		"no log level":                {annotated("log-level", "all"), "the annotation tegata.dev/log-level must be debug, info or error"},
		"the port of the logins":      {port(8293), portsTaken("8293, 8294")},
		"the port of the probes":      {port(8294), portsTaken("8293, 8294")},
		"the port of a listener":      {both(annotated("radius-address", ":1812"), port(1812)), portsTaken("8293, 8294, 1812")},
		"the port of logins if moved": {both(annotated("login-address", "127.0.0.1:9000"), port(8293)), ""},
		"another port":                {port(8443), ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := env.Client.Create(t.Context(), relayPod(namespace, tc.change), client.DryRunAll)
			if tc.want != "" {
				checkRefused(t, err, tc.want)
			} else if err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

// TestLabelCountsWhenAPodIsMade: put on later it would give rights to a pod that has no sidecar.
func TestLabelCountsWhenAPodIsMade(t *testing.T) {
	env := shared(t)
	namespace := relayNamespace(t, env)
	const late = "the label tegata.dev/relay-server counts when a pod is made: put it into the pod's template, and let the pod be made anew"
	plain := relayPod(namespace, func(p *corev1.Pod) { p.Labels = nil })
	relay := relayPod(namespace)
	for _, pod := range []*corev1.Pod{plain, relay} {
		if err := env.Client.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	patch := func(pod *corev1.Pod, body string) error {
		return env.Client.Patch(t.Context(), pod, client.RawPatch("application/merge-patch+json", []byte(body)))
	}
	checkRefused(t, patch(plain, `{"metadata":{"labels":{"tegata.dev/relay-server":"asp1"}}}`), late)
	checkRefused(t, patch(relay, `{"metadata":{"labels":{"tegata.dev/relay-server":"asp2"}}}`), late)
	status := func(pod *corev1.Pod, body string) error {
		return env.Client.Status().Patch(t.Context(), pod, client.RawPatch("application/merge-patch+json", []byte(body)))
	}
	checkRefused(t, status(plain, `{"metadata":{"labels":{"tegata.dev/relay-server":"asp1"}}}`), late)
	checkRefused(t, status(relay, `{"metadata":{"labels":{"tegata.dev/relay-server":"asp2"}}}`), late)
	if err := status(relay, `{"status":{"phase":"Running"}}`); err != nil {
		t.Errorf("what the kubelet tells: %v", err)
	}
	for what, body := range map[string]string{
		"what is no concern of ours":   `{"metadata":{"annotations":{"tegata.dev/mistyped":"x"},"finalizers":["example.com/x"]}}`,
		"the finalizer is taken again": `{"metadata":{"finalizers":null}}`,
	} {
		if err := patch(relay, body); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := patch(relay, `{"metadata":{"labels":{"tegata.dev/relay-server":null}}}`); err != nil {
		t.Errorf("the label cannot be taken off: %v", err)
	}
}

// TestDebuggersDoNotGetTheToken, and may look at everything else.
func TestDebuggersDoNotGetTheToken(t *testing.T) {
	env := shared(t)
	relay := relayPod(relayNamespace(t, env))
	if err := env.Client.Create(t.Context(), relay); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ mount, target, want string }{
		{mount: "tegata-token", want: tokenForOthers}, {target: "tegata-sidecar", want: notTheTarget}, {target: "relay"}, {},
	} {
		pod := relay.DeepCopy()
		debugger := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debugger", Image: "sh", TerminationMessagePolicy: corev1.TerminationMessageReadFile, ImagePullPolicy: corev1.PullAlways,
		}, TargetContainerName: tc.target}
		if tc.mount != "" {
			debugger.VolumeMounts = []corev1.VolumeMount{{Name: tc.mount, MountPath: "/x"}}
		}
		pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, debugger)
		err := env.Client.SubResource("ephemeralcontainers").Update(t.Context(), pod, client.DryRunAll)
		if tc.want != "" {
			checkRefused(t, err, tc.want)
		} else if err != nil {
			t.Errorf("a debugger is refused: %v", err)
		}
	}
}
