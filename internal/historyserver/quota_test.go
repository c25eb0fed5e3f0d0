package historyserver

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tegata-dev/tegata/internal/history"
)

func TestQuota(t *testing.T) {
	now := began
	q := newQuotas(Quota{Rate: 100, Burst: 2000}, func() time.Time { return now }, logr.Discard())
	greedy, other := history.ServerName{Namespace: "relays", Name: "asp1"}, history.ServerName{Namespace: "relays", Name: "asp2"}
	step := func(after time.Duration, who history.ServerName, records, wantSeconds int) {
		t.Helper()
		now = now.Add(after)
		err := q.take(who, records)
		seconds, asked := apierrors.SuggestsClientDelay(err)
		if (err == nil) != (wantSeconds == 0) || err != nil && (!apierrors.IsTooManyRequests(err) || !asked || seconds != wantSeconds) {
			t.Errorf("%d records of %s: %v, to wait for %d s, want %d", records, who.Name, err, seconds, wantSeconds)
		}
	}
	step(0, greedy, 1000, 0)
	step(0, greedy, 1000, 0)
	step(0, greedy, 500, 5)
	step(0, greedy, 1, 5) // nothing is read of it until then
	step(0, other, 1000, 0)
	step(4*time.Second, greedy, 500, 1)
	step(time.Second, greedy, 500, 0)
	step(0, greedy, 1, 1)
	step(time.Second, greedy, 100, 0)
	step(time.Hour, greedy, 1000, 0)
	step(0, greedy, 1001, 1)             // no more than a burst was saved
	step(-100*time.Hour, other, 1000, 0) // a clock that is set back locks nobody out
	step(0, greedy, 1001, 1)
	step(time.Second, greedy, 1000, 0)
}

// TestQuotasAreBounded: whoever may write for all servers makes names up. Who has not sent lately is forgotten.
func TestQuotasAreBounded(t *testing.T) {
	now := began
	q := newQuotas(Quota{Rate: 1, Burst: 2000}, func() time.Time { return now }, logr.Discard())
	for n := range maxQuotas + 10 {
		if err := q.take(history.ServerName{Namespace: "relays", Name: fmt.Sprint(n)}, 1); (err == nil) != (n < maxQuotas) {
			t.Fatalf("%d: %v", n, err)
		}
	}
	now = now.Add(time.Minute)
	if err := q.take(history.ServerName{Namespace: "relays", Name: "new"}, 1); err != nil || len(q.of) != 1 {
		t.Errorf("a minute later: %v, of %d", err, len(q.of))
	}
}

// TestFloodOfOneServer: sidecars of one server send all they can. They are told to wait when they have had their
// share; whoever else sends is not.
func TestFloodOfOneServer(t *testing.T) {
	const burst, batch = 5000, 100
	w := newWorldOf(t, func(c *Config) { c.Quota = Quota{Rate: 1000, Burst: burst} })
	ns := w.env.Namespace(t)
	client := w.client()
	one := failure(began, "taro", "DeviceMismatch")
	body := func() []byte {
		records := make([]history.Record, batch)
		for i := range records {
			records[i] = one
			copy(records[i].ID[6:], fmt.Sprintf("%010d", w.next.Add(1)))
		}
		return encode(t, records...)
	}
	var flood sync.WaitGroup
	stop := make(chan struct{})
	flooding := post{namespace: ns, server: "asp1", token: w.sidecarOf(ns, "asp1", "tegata-history")}
	told := make(chan reply, 1) // the first that was told to wait
	for range 2 * maxBatchesOfOne {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				p := flooding
				p.body = body()
				answer, text := w.post(client, p)
				if answer.status == http.StatusTooManyRequests && strings.Contains(text, "more records than the history takes of one") {
					select {
					case told <- answer:
					default:
					}
				}
			}
		})
	}
	first := <-told
	if seconds, err := strconv.Atoi(first.retryAfter); err != nil || seconds < 1 || seconds > 2 {
		t.Errorf("it is told to come again in %q", first.retryAfter)
	}
	honest := post{namespace: ns, server: "asp2", token: w.sidecarOf(ns, "asp2", "tegata-history")}
	for n := range 20 {
		p := honest
		p.body = body()
		if answer, text := w.post(client, p); answer.status != http.StatusOK {
			t.Fatalf("batch %d of another server is answered %d %s", n, answer.status, text)
		}
	}
	close(stop)
	flood.Wait()
	kept := map[string]int{}
	for _, r := range w.store.sorted() {
		kept[r.Server]++
	}
	if kept["asp2"] != 20*batch || kept["asp1"] > burst || kept["asp1"] < burst/2 {
		t.Errorf("kept are %v, want at most %d of asp1", kept, burst)
	}
	if n := w.counted(`tegata_history_batches_total{outcome="over-quota"}`); n == 0 {
		t.Error("no metric tells of it")
	}
	w.setNow(w.now().Add(2 * time.Second))
	flooding.body = body()
	if answer, text := w.post(client, flooding); answer.status != http.StatusOK {
		t.Errorf("when it has waited, it is answered %d %s", answer.status, text)
	}
}
