package historyserver

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"golang.org/x/time/rate"

	"github.com/tegata-dev/tegata/internal/history"
)

// Quota is what the sidecars of one RelayServer may have kept, all of them together. An honest relay does not meet it:
// it is there so that one that was taken over cannot fill the disk of all.
type Quota struct {
	// Rate is how many records a second, in the long run.
	Rate float64
	// Burst is how many at once: what waited in spools while the history server was away.
	Burst int
}

// DefaultQuota is some 86 million records a day, and what four spools of the usual size hold.
var DefaultQuota = Quota{Rate: 1000, Burst: 4_000_000}

// Validate says what is wrong with a quota. Each batch costs one more than its records, and has to fit.
func (q Quota) Validate() error {
	if !(q.Rate >= 1) || math.IsInf(q.Rate, 1) { // also what is no number
		return fmt.Errorf("it takes %v records a second: it must be 1 or more", q.Rate)
	}
	if q.Burst <= history.MaxBatch {
		return fmt.Errorf("it takes %d records at once: it must be more than a batch has, %d", q.Burst, history.MaxBatch)
	}
	return nil
}

const (
	// maxQuotas bounds the RelayServers of which it is remembered what they have sent.
	maxQuotas = 10_000
	// quotaReports is how often it is logged of one that it sends too much.
	quotaReports = time.Minute
)

// quotas hold RelayServers to their quota.
type quotas struct {
	Quota
	now func() time.Time
	log logr.Logger

	mu sync.Mutex
	of map[history.ServerName]*account
}

// account is what one RelayServer may still send.
type account struct {
	limiter *rate.Limiter
	// until is before when its batches are not even read.
	until, reported time.Time
}

func newQuotas(q Quota, now func() time.Time, log logr.Logger) *quotas {
	return &quotas{Quota: q, now: now, log: log, of: map[history.ServerName]*account{}}
}

// open says whether a RelayServer may send a batch, before that is read.
func (q *quotas) open(who history.ServerName) error { return q.take(who, 1) }

// take has a RelayServer pay for records. Its error says for how long it must wait.
func (q *quotas) take(who history.ServerName, records int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	a := q.account(who, now)
	if a == nil {
		return tooMany("too many RelayServers send records", time.Second)
	}
	if wait := a.until.Sub(now); wait > 0 && wait <= q.longest() { // or the clock was set back
		return q.refuse(who, wait)
	}
	reserved := a.limiter.ReserveN(now, records)
	wait := reserved.DelayFrom(now)
	if wait <= 0 {
		return nil
	}
	reserved.CancelAt(now)
	a.until = now.Add(wait)
	if since := now.Sub(a.reported); since >= quotaReports || since < 0 {
		a.reported = now
		q.log.Info("A RelayServer sends more records than it may; its sidecars keep them for now",
			"namespace", who.Namespace, "server", who.Name, "recordsPerSecond", q.Rate, "burst", q.Burst)
	}
	return q.refuse(who, wait)
}

// longest is for how long a batch may have to wait.
func (q *quotas) longest() time.Duration {
	return time.Duration(float64(history.MaxBatch+1) / q.Rate * float64(time.Second))
}

func (q *quotas) refuse(who history.ServerName, wait time.Duration) error {
	return tooMany(fmt.Sprintf("RelayServer %s/%s has sent more records than the history takes of one: %v a second, and %d at once",
		who.Namespace, who.Name, q.Rate, q.Burst), wait)
}

func tooMany(why string, wait time.Duration) error {
	return apierrors.NewTooManyRequests(why, int(math.Ceil(wait.Seconds())))
}

// account needs q.mu. It is nil when there is no room for one more.
func (q *quotas) account(who history.ServerName, now time.Time) *account {
	if a := q.of[who]; a != nil {
		return a
	}
	if len(q.of) >= maxQuotas { // one that may send all again is as one that never sent
		for name, a := range q.of {
			if a.limiter.TokensAt(now) >= float64(q.Burst) {
				delete(q.of, name)
			}
		}
	}
	if len(q.of) >= maxQuotas {
		return nil
	}
	a := &account{limiter: rate.NewLimiter(rate.Limit(q.Rate), q.Burst)}
	q.of[who] = a
	return a
}
