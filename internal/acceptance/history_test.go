package acceptance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestHistoryOfADay is the manual's page: who connected when, for how long, and why not.
func TestHistoryOfADay(t *testing.T) {
	w := newWorld(t, testenv.Shared(t), fastDenials)
	history := w.startHistory("--store=sqlite", "--sqlite-dir="+t.TempDir())
	w.addUser("taro")
	gate := w.startGateway(w.historyFlags(history)...)

	session := w.sessionOf(w.mustLogin(gate.sidecar, pc("taro", "own-pc-serial")))
	refused := w.login(gate.sidecar, pc("taro", "other-pc-serial"))
	typo := pc("hunter2-in-the-wrong-field", "own-pc-serial")
	unknown := w.login(gate.sidecar, typo)
	if got := gate.end(t, session); got != http.StatusNoContent && got != http.StatusOK {
		t.Fatalf("logout answered %d", got)
	}

	byID := w.awaitRecords(session.Session.ID, refused.CorrelationID, unknown.CorrelationID)
	login := byID[strings.ToLower(session.Session.ID)]
	w.eventually(func() error {
		byID = w.awaitRecords(session.Session.ID)
		login = byID[strings.ToLower(session.Session.ID)]
		if login.State != historyv1alpha1.StateEnded {
			return fmt.Errorf("the session is %s", login.State)
		}
		return nil
	})
	if login.Result != historyv1alpha1.ResultSuccess || login.User != "taro" || login.End != historyv1alpha1.EndLogout || !login.Enrolled ||
		login.SourceAddress != "127.0.0.1" || login.Slot != "pc" || login.Duration == nil || login.Partial {
		t.Errorf("the login is recorded as %+v", login)
	}
	mismatch := byID[strings.ToLower(refused.CorrelationID)]
	if mismatch.Reason != string(v1alpha1.ReasonDeviceMismatch) || mismatch.User != "taro" || mismatch.Duration != nil || !mismatch.EndTime.Equal(&mismatch.StartTime) {
		t.Errorf("the mismatch is recorded as %+v", mismatch)
	}
	nobody := byID[strings.ToLower(unknown.CorrelationID)]
	if nobody.Reason != string(v1alpha1.ReasonUnknownUser) || nobody.User != "" || nobody.UserName != "" {
		t.Errorf("an unknown name is recorded as %+v", nobody)
	}
	usages, err := w.usages()
	must(t, err)
	taro := usages["taro"]
	if len(usages) != 1 || taro.Failures == 0 || taro.ConnectedTime != *login.Duration {
		t.Errorf("usages are %+v, want the one session's %s", usages, login.Duration.Duration)
	}

	table := w.kubectl("", "get", "accessrecords", "--field-selector", "user=taro,result=Failure,reason=DeviceMismatch,program=Viewer")
	if !strings.Contains(table, "DeviceMismatch") || strings.Count(table, "\n") != 2 {
		t.Errorf("kubectl get accessrecords prints\n%s", table)
	}
	w.keepsNoSecretIn(w.kubectl("", "get", "accessrecords", "-o", "yaml"), "own-pc-serial", "other-pc-serial", typo.User, session.Session.Token)
}

// awaitRecords waits until the history has the records of these ids, and is all that it has.
func (w *world) awaitRecords(ids ...string) map[string]historyv1alpha1.AccessRecord {
	w.t.Helper()
	byID := map[string]historyv1alpha1.AccessRecord{}
	w.eventually(func() error {
		records, err := w.records()
		if err != nil {
			return err
		}
		for i := range records {
			byID[records[i].Name] = records[i]
		}
		for _, id := range ids {
			if _, ok := byID[strings.ToLower(id)]; !ok {
				return fmt.Errorf("%s is not among %d records", id, len(records))
			}
		}
		return nil
	})
	return byID
}

func (w *world) keepsNoSecretIn(text string, others ...string) {
	w.t.Helper()
	for _, secret := range append(others, samplePassword) {
		if strings.Contains(text, secret) {
			w.t.Errorf("%q is in\n%s", secret, text)
		}
	}
}

// TestHistoryServerAway: logins go on, and nothing is lost.
func TestHistoryServerAway(t *testing.T) {
	w := newWorld(t, testenv.Shared(t), fastDenials)
	history := w.startHistory("--store=sqlite", "--sqlite-dir="+t.TempDir())
	w.addUser("taro")
	s := w.startSidecar(w.historyFlags(history)...)
	must(t, history.Kill())
	var ids []string
	for range 3 {
		ids = append(ids, w.sessionOf(w.mustLogin(s, pc("taro", "own-pc-serial"))).Session.ID, w.login(s, pc("taro", "other-pc-serial")).CorrelationID)
	}
	must(t, s.Kill())
	w.restart(s.Process)
	began := time.Now()
	w.mustLogin(s, pc("taro", "own-pc-serial"))
	w.restart(history.Process)
	w.awaitRecords(ids...)
	t.Logf("%d records came %s after the sidecar", len(ids), time.Since(began).Round(time.Millisecond))
}
