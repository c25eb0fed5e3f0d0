package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// historyServer is a running history server behind the API server.
type historyServer struct {
	*testenv.Process
	place *testenv.Aggregated
}

// startHistory starts a history server as its service account, with the roles of config/history.
func (w *world) startHistory(flags ...string) *historyServer {
	w.t.Helper()
	const home, name = "tegata-system", "tegata-history"
	for _, file := range []string{"service_account", "role", "role_binding", "reader_role"} {
		must(w.t, testenv.Apply(context.Background(), w.env.Client, home, filepath.Join("..", "..", "config", "history", file+".yaml")))
	}
	place, err := w.env.ControlPlane.Aggregate(home, name)
	must(w.t, err)
	h := &historyServer{place: place}
	h.Process = w.start(testenv.Command{
		Name: "history", Path: testenv.Program(w.t, "history"),
		Args: append([]string{
			"--kubeconfig=" + w.env.Kubeconfig(w.t, home, name), "--bind-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", place.Port), "--tls-cert-file=" + place.CertFile, "--tls-private-key-file=" + place.KeyFile,
		}, flags...),
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(w.t, place.Register(ctx, w.env.Client, historyv1alpha1.GroupVersion))
	return h
}

// historyFlags have a sidecar tell a history server of its attempts, as its own service account.
func (w *world) historyFlags(h *historyServer) []string {
	w.t.Helper()
	dir := w.t.TempDir()
	token := filepath.Join(dir, "token")
	config := w.env.ServiceAccountConfig(w.t, w.namespace, serverName+"-sidecar")
	must(w.t, os.WriteFile(token, []byte(config.BearerToken), 0o600))
	return []string{
		"--history-address=" + h.place.URL, "--history-ca-file=" + h.place.CAFile, "--history-token-file=" + token,
		"--history-spool-dir=" + filepath.Join(dir, "spool"), "--history-interval=10s",
	}
}

// records are all that the history has of the namespace, newest first. kubectl asks for them page by page.
func (w *world) records() ([]historyv1alpha1.AccessRecord, error) {
	var list historyv1alpha1.AccessRecordList
	err := w.listHistory("accessrecords", &list)
	return list.Items, err
}

// usages are what the history says that each user has used.
func (w *world) usages() (map[string]historyv1alpha1.UserUsage, error) {
	var list historyv1alpha1.UserUsageList
	err := w.listHistory("userusages", &list)
	byUser := map[string]historyv1alpha1.UserUsage{}
	for i := range list.Items {
		byUser[list.Items[i].User] = list.Items[i]
	}
	return byUser, err
}

func (w *world) listHistory(resource string, into any) error {
	out, errs, err := w.env.Kubectl(w.t, "", "--namespace", w.namespace, "get", resource+".history.tegata.dev", "-o", "json")
	if err != nil {
		return fmt.Errorf("%w: %s", err, errs)
	}
	return json.Unmarshal([]byte(out), into)
}

// restart starts a process again that was killed, and waits until it serves.
func (w *world) restart(p *testenv.Process) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(w.t, p.Restart(ctx))
}
