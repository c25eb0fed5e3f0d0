package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/kubernetes"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// startHistory starts the history server behind the API server, with the roles that it is shipped with.
func startHistory(t *testing.T, env *testenv.Env) {
	t.Helper()
	for _, file := range []string{"service_account", "role", "role_binding", "reader_role"} {
		path := filepath.Join("..", "..", "config", "history", file+".yaml")
		if err := testenv.Apply(t.Context(), env.Client, "tegata-system", path); err != nil {
			t.Fatal(err)
		}
	}
	place, err := env.ControlPlane.Aggregate("tegata-system", "tegata-history")
	if err != nil {
		t.Fatal(err)
	}
	env.Start(t, testenv.Command{
		Name: "history", Path: testenv.Program(t, "history"),
		Args: []string{
			"--kubeconfig=" + env.Kubeconfig(t, "tegata-system", "tegata-history"), "--sqlite-dir=" + t.TempDir(), "--retention-default=876000h",
			"--bind-address=127.0.0.1", "--secure-port=" + place.URL[strings.LastIndexByte(place.URL, ':')+1:],
			"--tls-cert-file=" + place.CertFile, "--tls-private-key-file=" + place.KeyFile,
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := place.Register(ctx, env.Client, historyv1alpha1.GroupVersion); err != nil {
		t.Fatal(err)
	}
}

var attempts atomic.Uint32

// attempt KEY=VALUE…: has the history server keep one attempt, as a sidecar of asp1 tells it. Times are RFC 3339, or
// how long ago; for is how long the connection lasted.
func attempt(env *testenv.Env) func(*testscript.TestScript, bool, []string) {
	return func(script *testscript.TestScript, _ bool, args []string) {
		values := map[string]string{"result": "Success", "program": "viewer", "viewer": "pc", "slot": "pc"}
		for _, arg := range args {
			key, value, _ := strings.Cut(arg, "=")
			values[key] = value
		}
		start, err := time.Parse(time.RFC3339, values["start"])
		if err != nil {
			ago, err := time.ParseDuration(values["start"])
			script.Check(err)
			start = time.Now().Add(-ago)
		}
		record := recordOf(script, values, start)
		body, err := history.Append(nil, &record)
		script.Check(err)
		clients, err := kubernetes.NewForConfig(env.Config)
		script.Check(err)
		path := "/apis/" + historyv1alpha1.GroupVersion.String() + "/namespaces/" + script.Getenv("NS") + "/accesslogs/asp1/records"
		raw, err := clients.RESTClient().Post().AbsPath(path).SetHeader("Content-Type", history.MediaType).Body(body).DoRaw(context.Background())
		script.Check(err)
		var answer struct{ Kept int }
		script.Check(json.Unmarshal(raw, &answer))
		if answer.Kept != 1 {
			script.Fatalf("it is not kept: %s", raw)
		}
		script.Setenv("ID", record.ID.String())
	}
}

func recordOf(script *testscript.TestScript, values map[string]string, start time.Time) history.Record {
	id := ulid.ULID{6: 1}
	script.Check(id.SetTime(ulid.Timestamp(start)))
	n := attempts.Add(1)
	id[14], id[15] = byte(n>>8), byte(n)
	r := history.Record{
		ID: id, User: values["user"], UserName: values["userName"], Program: values["program"], Viewer: values["viewer"],
		Slot: values["slot"], Result: history.Result(values["result"]), Reason: values["reason"],
		SourceAddress: values["from"], MACAddress: values["mac"], Destination: values["to"], SourceViewer: values["via"],
		Listener: "login", Sidecar: "asp1-0", DeviceDigest: values["device"],
	}
	if r.UserName == "" {
		r.UserName = r.User
	}
	if r.Result == history.Success {
		r.Expire = history.At(start.Add(8 * time.Hour))
	} else {
		r.CorrelationID = id.String()
	}
	if values["for"] != "" {
		d, err := time.ParseDuration(values["for"])
		script.Check(err)
		r.End, r.EndTime = history.Logout, history.At(start.Add(d))
	}
	return r
}

// waitgrep FILE TEXT: waits until a text is in a file that a program in the background writes.
func waitGrep(script *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		content, err := os.ReadFile(script.MkAbs(args[0]))
		if err == nil && strings.Contains(string(content), args[1]) {
			return
		}
		select {
		case <-ctx.Done():
			script.Fatalf("%q is not in %s:\n%s", args[1], args[0], content)
		case <-ticker.C:
		}
	}
}
