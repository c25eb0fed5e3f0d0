package controllers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// relayPod makes a pod with the sidecar of asp1 in it, and its ServiceAccount.
func (w *world) relayPod(name, account string) *corev1.Pod {
	w.Helper()
	return w.relayPodOf("asp1", name, account)
}

func (w *world) relayPodOf(server, name, account string) *corev1.Pod {
	w.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: account}}
	if err := w.env.Client.Create(w.Context(), sa); err != nil && !apierrors.IsAlreadyExists(err) {
		w.Fatal(err)
	}
	always := corev1.ContainerRestartPolicyAlways
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: map[string]string{v1alpha1.LabelRelayServer: server}},
		Spec: corev1.PodSpec{
			ServiceAccountName: account, AutomountServiceAccountToken: new(bool),
			InitContainers: []corev1.Container{{Name: "tegata-sidecar", Image: "sidecar", RestartPolicy: &always}},
			Containers:     []corev1.Container{{Name: "relay", Image: "relay"}},
		},
	}
	w.create(pod)
	return pod
}

// ended tells that all containers of a pod have ended, which the kubelet does elsewhere.
func (w *world) ended(pod *corev1.Pod) {
	w.Helper()
	w.must(w.env.Client.Status().Patch(w.Context(), pod, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"phase":"Succeeded"}}`))))
}

// bound waits until these accounts, and no others, have the rights of the sidecars beside that of the sidecars.
func (w *world) bound(want ...string) {
	w.Helper()
	w.boundTo("asp1", want...)
}

func (w *world) boundTo(server string, want ...string) {
	w.Helper()
	w.eventually(func() error {
		binding := &rbacv1.RoleBinding{}
		err := w.env.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: server + "-sidecar-pods"}, binding)
		if err != nil {
			return err
		}
		var got []string
		for _, subject := range binding.Subjects {
			got = append(got, subject.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("accounts (-want +got):\n%s", diff)
		}
		return nil
	})
}

// readsKeys says whether an account may read the keys of asp1, as the authorizer knows it by now.
func (w *world) readsKeys(account string) bool {
	w.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + w.namespace + ":" + account,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: w.namespace, Verb: "get", Resource: "secrets", Name: "asp1-keys",
		},
	}}
	w.create(review)
	return review.Status.Allowed
}

func (w *world) mayReadKeys(account string, want bool) {
	w.Helper()
	w.eventually(func() error {
		if w.readsKeys(account) != want {
			return fmt.Errorf("%s may read the keys: %v, want %v", account, !want, want)
		}
		return nil
	})
}

// TestPodsAccountMayWhatTheSidecarMay while there is such a pod.
func TestPodsAccountMayWhatTheSidecarMay(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	first, second := w.relayPod("relay-0", "relay"), w.relayPod("relay-1", "relay")
	w.bound("relay")
	w.mayReadKeys("relay", true)
	binding := get(w, "asp1-sidecar-pods", &rbacv1.RoleBinding{})
	if !metav1.IsControlledBy(binding, w.server()) || binding.RoleRef.Kind != "Role" || binding.RoleRef.Name != "asp1-sidecar" {
		t.Errorf("the RoleBinding is of %v, to %v", binding.OwnerReferences, binding.RoleRef)
	}

	w.relayPod("other", "other")
	w.bound("other", "relay")
	w.delete(first)
	w.ended(second)
	w.bound("other")
	w.mayReadKeys("relay", false)
	w.delete(get(w, "other", &corev1.Pod{}))
	w.eventually(func() error {
		err := w.env.Client.Get(w.Context(), client.ObjectKeyFromObject(binding), &rbacv1.RoleBinding{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the RoleBinding is there without pods: %w", err)
		}
		return nil
	})
	if !w.readsKeys("asp1-sidecar") {
		t.Error("the account of the sidecars has lost its rights, too")
	}
}

// TestLabelWithoutSidecarGivesNothing: a Binding puts its labels on the pod, which the policies do not see.
func TestLabelWithoutSidecarGivesNothing(t *testing.T) {
	w := newWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}})
	web := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"},
		Spec: corev1.PodSpec{
			ServiceAccountName: "web", AutomountServiceAccountToken: new(bool),
			InitContainers: []corev1.Container{{Name: "prepare", Image: "prepare"}},
			Containers:     []corev1.Container{{Name: "web", Image: "web"}},
		},
	}
	w.create(web)
	labels := map[string]string{v1alpha1.LabelRelayServer: "asp1"}
	w.must(w.env.Client.SubResource("binding").Create(w.Context(), web, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web", Labels: labels}, Target: corev1.ObjectReference{Name: "node"},
	}))
	if got := get(w, "web", &corev1.Pod{}).Labels[v1alpha1.LabelRelayServer]; got != "asp1" {
		t.Fatalf("the label is %q", got)
	}
	w.relayPod("relay", "relay")
	w.startManager()
	w.bound("relay")
}

// TestSidecarAccountIsNotBoundTwice: it has the rights from the server.
func TestSidecarAccountIsNotBoundTwice(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	w.relayPod("central", "asp1-sidecar")
	w.relayPod("relay", "relay")
	w.bound("relay")
}

// TestPodsBindingIsHeldTo what the pods need: nobody is added to it, and it comes back.
func TestPodsBindingIsHeldTo(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.relayPod("relay", "relay")
	w.bound("relay")
	edit(w, get(w, "asp1-sidecar-pods", &rbacv1.RoleBinding{}), func(b *rbacv1.RoleBinding) {
		b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "mallory"})
	})
	w.bound("relay")
	w.delete(get(w, "asp1-sidecar-pods", &rbacv1.RoleBinding{}))
	w.bound("relay")
}

// TestManyPodsAreLearntAtOnce by a manager that starts when they are there.
func TestManyPodsAreLearntAtOnce(t *testing.T) {
	w := newWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	want := make([]string, 0, 25)
	for i := range cap(want) {
		want = append(want, fmt.Sprintf("relay-%02d", i))
		w.relayPod(want[i], want[i])
	}
	w.startManager()
	w.bound(want...)
}

// TestPodOfNoServer is told so, where whoever looks at the pod sees it, and works once there is the server.
func TestPodOfNoServer(t *testing.T) {
	w := managedWorld(t)
	pod := w.relayPod("relay", "relay")
	w.toldPod(pod, "RelayServerNotFound", "there is no RelayServer asp1 in this namespace")
	w.create(testenv.Server(w.namespace, "asp1"))
	w.bound("relay")
}

func (w *world) toldPod(pod *corev1.Pod, reason, text string) {
	w.Helper()
	w.eventually(func() error {
		var events eventsv1.EventList
		w.must(w.env.Client.List(w.Context(), &events, client.InNamespace(w.namespace)))
		for _, e := range events.Items {
			if e.Regarding.UID == pod.UID && e.Reason == reason && e.Type == corev1.EventTypeWarning && strings.Contains(e.Note, text) {
				return nil
			}
		}
		return errors.New("the pod is not told of " + reason)
	})
}

// TestForeignPodsBindingIsLeftAlone, and the pods are told.
func TestForeignPodsBindingIsLeftAlone(t *testing.T) {
	w := managedWorld(t)
	foreign := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp1-sidecar-pods"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "other"},
	}
	w.create(foreign, testenv.Server(w.namespace, "asp1"))
	before := foreign.ResourceVersion
	pod := w.relayPod("relay", "relay")
	w.toldPod(pod, v1alpha1.ReasonNameTaken, "RoleBinding asp1-sidecar-pods exists and does not belong to RelayServer asp1")
	w.delete(pod)
	if after := get(w, foreign.Name, &rbacv1.RoleBinding{}).ResourceVersion; after != before {
		t.Errorf("it was changed: resourceVersion %s, was %s", after, before)
	}
}

// TestForeignRoleIsNotBound: a Role that bears the name and is somebody else's may permit anything.
func TestForeignRoleIsNotBound(t *testing.T) {
	w := managedWorld(t)
	w.create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.namespace, Name: "asp1-sidecar", Labels: map[string]string{v1alpha1.LabelRelayServer: "asp1"},
	}})
	w.relayPod("relay", "relay")
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNameTaken, "Role asp1-sidecar")

	// What comes later is done, so this was looked at.
	w.create(testenv.Server(w.namespace, "asp2"))
	w.relayPodOf("asp2", "relay-2", "relay")
	w.boundTo("asp2", "relay")
	err := w.env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "asp1-sidecar-pods"}, &rbacv1.RoleBinding{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("something is bound to it: %v", err)
	}
}
