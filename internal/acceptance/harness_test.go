package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	serverName = "asp1"
	// sample is the password of users in these tests. It is looked for in everything that is written.
	samplePassword = "correct-horse-battery"
	// cheapHash is a hash of the same, for tests with thousands of logins.
	cheapHash = "$6$tegatasample$Qku9tSR5bNB.IQsAm6/DTPtkt2Mm8VkJF6WPryzg.zFmgSe.cmLtOeFLDF2OzatKt9/jkjvQ3vHHMzGgxBebB0"
	patience  = 60 * time.Second
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// world is a namespace with a relay, a manager and sidecars.
type world struct {
	t         *testing.T
	env       *testenv.Env
	namespace string
	manager   *testenv.Process
	sidecars  []*sidecar
}

var processes atomic.Int64

// newWorld starts a manager for a namespace of its own and makes a relay in it.
func newWorld(t *testing.T, env *testenv.Env, options ...func(*v1alpha1.RelayServer)) *world {
	t.Helper()
	w := &world{t: t, env: env, namespace: env.Namespace(t)}
	w.startManager()
	w.create(testenv.Server(w.namespace, serverName, options...))
	w.eventually(func() error { return w.ready(&v1alpha1.RelayServer{}, serverName) })
	return w
}

func (w *world) startManager() {
	w.t.Helper()
	probe := w.env.FreeAddress(w.t)
	w.manager = w.start(testenv.Command{
		Name: "manager",
		Path: testenv.Program(w.t, "manager"),
		Args: []string{
			"--kubeconfig=" + w.env.Kubeconfig(w.t, "tegata-system", "tegata-manager"), "--namespace=" + w.namespace, "--leader-elect=false",
			"--metrics-bind-address=0", "--health-probe-bind-address=" + probe,
		},
		Ready: testenv.Answers("http://" + probe + "/readyz"),
	})
}

// start starts a process that ends with the test, with a log of its own.
func (w *world) start(c testenv.Command) *testenv.Process {
	w.t.Helper()
	c.Name = fmt.Sprintf("%s-%d", c.Name, processes.Add(1))
	return w.env.Start(w.t, c)
}

// sidecar is a running sidecar.
type sidecar struct {
	*testenv.Process
	name  string
	url   string
	probe string
}

// startSidecar starts a sidecar as the service account that the manager made for it.
func (w *world) startSidecar(flags ...string) *sidecar {
	w.t.Helper()
	s := &sidecar{name: fmt.Sprintf("pod-%d", len(w.sidecars)), url: w.env.FreeAddress(w.t), probe: w.env.FreeAddress(w.t)}
	args := []string{
		"--kubeconfig=" + w.env.Kubeconfig(w.t, w.namespace, serverName+"-sidecar"), "--namespace=" + w.namespace, "--server=" + serverName,
		"--identity=" + s.name, "--login-address=" + s.url, "--probe-address=" + s.probe,
	}
	s.Process = w.start(testenv.Command{
		Name: "sidecar", Path: testenv.Program(w.t, "sidecar"), Args: append(args, flags...),
		Ready: testenv.Answers("http://" + s.probe + "/readyz"),
	})
	w.sidecars = append(w.sidecars, s)
	return s
}

// addUser makes a user with the sample password and waits until it can log in.
func (w *world) addUser(name string, options ...func(*v1alpha1.RelayUser)) {
	w.t.Helper()
	w.create(testenv.PasswordSecret(w.namespace, name+"-password", samplePassword))
	options = append([]func(*v1alpha1.RelayUser){testenv.WithPasswordSecret(name + "-password")}, options...)
	w.create(testenv.User(w.namespace, name, serverName, options...))
	w.eventually(func() error { return w.ready(&v1alpha1.RelayUser{}, name) })
}

// addUserWithHash makes a user whose hash is cheap, for tests with many logins.
func (w *world) addUserWithHash(name string, options ...func(*v1alpha1.RelayUser)) {
	w.t.Helper()
	secret := testenv.PasswordSecret(w.namespace, name+"-password", "")
	secret.StringData = map[string]string{"passwordHash": cheapHash}
	w.create(secret)
	options = append([]func(*v1alpha1.RelayUser){testenv.WithPasswordSecret(name + "-password")}, options...)
	w.create(testenv.User(w.namespace, name, serverName, options...))
}

func (w *world) create(obj client.Object) {
	w.t.Helper()
	if err := w.env.Client.Create(context.Background(), obj); err != nil {
		w.t.Fatalf("create %T %s: %v", obj, obj.GetName(), err)
	}
}

func (w *world) user(name string) *v1alpha1.RelayUser {
	w.t.Helper()
	var u v1alpha1.RelayUser
	if err := w.env.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, &u); err != nil {
		w.t.Fatal(err)
	}
	return &u
}

func (w *world) eventually(check func() error) {
	w.t.Helper()
	testenv.Eventually(w.t, patience, check)
}

// kubectl runs kubectl in the world's namespace and returns what it prints.
func (w *world) kubectl(stdin string, args ...string) string {
	w.t.Helper()
	out, errs, err := w.env.Kubectl(w.t, stdin, append([]string{"--namespace", w.namespace}, args...)...)
	if err != nil {
		w.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out
}

// reset applies a DeviceReset and waits until it is Complete.
func (w *world) reset(name, user string, slots ...v1alpha1.Slot) *v1alpha1.DeviceReset {
	w.t.Helper()
	w.create(deviceReset(w.namespace, name, user, slots...))
	return w.awaitReset(name)
}

func (w *world) awaitReset(name string) *v1alpha1.DeviceReset {
	w.t.Helper()
	w.kubectl("", "wait", "devicereset/"+name, "--for=condition=Complete", "--timeout=60s")
	var r v1alpha1.DeviceReset
	if err := w.env.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, &r); err != nil {
		w.t.Fatal(err)
	}
	return &r
}

// attempt is the body of a login.
type attempt struct {
	User        string `json:"user"`
	Password    string `json:"password"`
	Program     string `json:"program"`
	Viewer      string `json:"viewer,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Proof       string `json:"proof,omitempty"`
	MACAddress  string `json:"macAddress,omitempty"`
	Destination string `json:"destination,omitempty"`
}

// phone is a login with the right password from a phone.
func phone(user, fingerprint string) attempt {
	return attempt{User: user, Password: samplePassword, Program: "viewer", Viewer: "mobile", Fingerprint: fingerprint}
}

// pc is a login with the right password from a PC.
func pc(user, fingerprint string) attempt {
	a := phone(user, fingerprint)
	a.Viewer = "pc"
	return a
}

// answer is the reply to a login.
type answer struct {
	Status        int `json:"-"`
	header        http.Header
	body          []byte
	Slot          string `json:"slot"`
	Enrolled      bool   `json:"enrolled"`
	Code          int    `json:"code"`
	CorrelationID string `json:"correlationID"`
}

func (a answer) allowed() bool { return a.Status == http.StatusOK }

// httpClient keeps as many connections as a test makes logins at a time.
var httpClient = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{MaxIdleConnsPerHost: 2000, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
}

// tryLogin asks a sidecar.
func (s *sidecar) tryLogin(a attempt, headers ...string) (answer, error) {
	return s.tryLoginContext(context.Background(), a, headers...)
}

func (s *sidecar) tryLoginContext(ctx context.Context, a attempt, headers ...string) (answer, error) {
	return askLogin(ctx, httpClient, "http://"+s.url, a, headers...)
}

func askLogin(ctx context.Context, c *http.Client, url string, a attempt, headers ...string) (answer, error) {
	encoded, err := json.Marshal(a)
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/login", bytes.NewReader(encoded))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	got := answer{Status: response.StatusCode, header: response.Header, body: body}
	err = json.Unmarshal(body, &got)
	return got, err
}

// login asks a sidecar, which must answer.
func (w *world) login(s *sidecar, a attempt, headers ...string) answer {
	w.t.Helper()
	got, err := s.tryLogin(a, headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// mustLogin asks until the person is admitted: what an administrator changed takes a moment to arrive.
func (w *world) mustLogin(s *sidecar, a attempt) answer {
	w.t.Helper()
	var got answer
	w.eventually(func() error {
		var err error
		if got, err = s.tryLogin(a); err != nil {
			return err
		}
		if !got.allowed() {
			return fmt.Errorf("login of %s: %d %s", a.User, got.Status, got.body)
		}
		return nil
	})
	return got
}

// expectFailure waits until the user's last failure has the reason.
func (w *world) expectFailure(user string, want v1alpha1.Reason) {
	w.t.Helper()
	w.eventually(func() error {
		if got := w.user(user).Status.LastFailure.Reason; got != want {
			return fmt.Errorf("last failure of %s is %q, want %q", user, got, want)
		}
		return nil
	})
}

func (w *world) ready(obj client.Object, name string) error {
	if err := w.env.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, obj); err != nil {
		return err
	}
	conditions := conditionsOf(obj)
	for _, c := range conditions {
		if c.Type == v1alpha1.ConditionReady && c.Status == "True" && c.ObservedGeneration == obj.GetGeneration() {
			return nil
		}
	}
	return fmt.Errorf("%T %s is not ready: %+v", obj, name, conditions)
}

func conditionsOf(obj client.Object) []metav1.Condition {
	switch o := obj.(type) {
	case *v1alpha1.RelayServer:
		return o.Status.Conditions
	case *v1alpha1.RelayUser:
		return o.Status.Conditions
	case *v1alpha1.DeviceReset:
		return o.Status.Conditions
	}
	return nil
}

func deviceReset(namespace, name, user string, slots ...v1alpha1.Slot) *v1alpha1.DeviceReset {
	return &v1alpha1.DeviceReset{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.DeviceResetSpec{UserRef: &v1alpha1.LocalReference{Name: user}, Slots: slots},
	}
}
