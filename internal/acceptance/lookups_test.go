package acceptance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

func condition(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

func (w *world) resetReason(name string) string {
	w.t.Helper()
	var r v1alpha1.DeviceReset
	must(w.t, w.env.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, &r))
	if c := condition(r.Status.Conditions, v1alpha1.ConditionComplete); c != nil {
		return c.Reason
	}
	return ""
}

func limit(failures int32) v1alpha1.ThrottleLimit {
	return v1alpha1.ThrottleLimit{Failures: failures, Interval: metav1.Duration{Duration: time.Minute}}
}

// metrics are the sidecar's.
func (s *sidecar) metrics() string {
	response, err := http.Get("http://" + s.probe + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// withoutServer takes the label away that all metrics of a sidecar have.
var withoutServer = strings.NewReplacer(`{server="asp1"}`, "", `,server="asp1"`, "", `server="asp1",`, "")

// metric is the value of one series, 0 when there is none.
func (s *sidecar) metric(series string) float64 {
	for line := range strings.Lines(s.metrics()) {
		line = withoutServer.Replace(strings.TrimSpace(line))
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			parsed, err := strconv.ParseFloat(value, 64)
			if err == nil {
				return parsed
			}
		}
	}
	return 0
}

func (w *world) secretData() map[string]map[string][]byte {
	w.t.Helper()
	var list corev1.SecretList
	must(w.t, w.env.Client.List(context.Background(), &list, client.InNamespace(w.namespace)))
	data := map[string]map[string][]byte{}
	for _, s := range list.Items {
		data[s.Name] = s.Data
	}
	return data
}

func (w *world) secretExists(name string) error {
	return w.env.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, &corev1.Secret{})
}

// shell runs a command line that has kubectl in its path, as the administrator.
func (w *world) shell(command string) {
	w.t.Helper()
	dir := w.t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	must(w.t, testenv.WriteKubeconfig(kubeconfig, w.env.Config))
	binDir, err := testenv.BinDir()
	must(w.t, err)
	sh := exec.Command("sh", "-c", command)
	sh.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+binDir+":"+os.Getenv("PATH"))
	if out, err := sh.CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func errNotYet(format string, args ...any) error { return fmt.Errorf(format, args...) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
