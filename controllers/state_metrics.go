package controllers

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// stateTimeout bounds how long a scrape waits for caches that are not filled yet.
const stateTimeout = 5 * time.Second

// reasonUnseen is of what the manager has not looked at yet.
const reasonUnseen = "Unseen"

var (
	serverCondition = prometheus.NewDesc("tegata_relayserver_condition",
		"Conditions of a RelayServer: 1 when True, 0 when not.", []string{"namespace", "server", "type"}, nil)
	serverSidecars = prometheus.NewDesc("tegata_relayserver_live_sidecars",
		"Sidecars of a RelayServer that hold a current Lease.", []string{"namespace", "server"}, nil)
	serverLost = prometheus.NewDesc("tegata_relayserver_lost_records",
		"Records of attempts that sidecars of a RelayServer have told to be lost, as its status counts them.", []string{"namespace", "server"}, nil)
	serverUsers = prometheus.NewDesc("tegata_relayusers",
		"RelayUsers of a RelayServer, by the status and reason of their Ready condition; without server where it does not exist.", []string{"namespace", "server", "ready", "reason"}, nil)
	resetsUnfinished = prometheus.NewDesc("tegata_device_resets_unfinished",
		"DeviceResets that are not finished, by the reason of their Complete condition.", []string{"namespace", "reason"}, nil)
	resetOldest = prometheus.NewDesc("tegata_device_reset_oldest_unfinished_seconds",
		"Age of the oldest DeviceReset that is not finished, by the reason of its Complete condition.", []string{"namespace", "reason"}, nil)
)

// stateMetrics tell, at each scrape, what is in the manager's cache. Users are counted and never named: what bears
// their names is the status of each. A standby tells the same as the leader.
type stateMetrics struct {
	reader client.Reader
	clock  clock.PassiveClock
	log    logr.Logger
}

// Describe tells of every metric.
func (*stateMetrics) Describe(into chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{serverCondition, serverSidecars, serverLost, serverUsers, resetsUnfinished, resetOldest} {
		into <- d
	}
}

// Collect reads the cache. What cannot be read is left out: a scrape that failed would hide all other metrics.
func (m *stateMetrics) Collect(into chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	for what, collect := range map[string]func(context.Context, chan<- prometheus.Metric) error{
		"relayservers": m.servers, "relayusers": m.users, "deviceresets": m.resets,
	} {
		if err := collect(ctx, into); err != nil {
			m.log.Error(err, "Metrics are incomplete", "resource", what)
		}
	}
}

// What is listed is the cache's own and is not changed: a copy of 100,000 users at each scrape would be costly.
const shared = client.UnsafeDisableDeepCopy

func (m *stateMetrics) servers(ctx context.Context, into chan<- prometheus.Metric) error {
	list := &v1alpha1.RelayServerList{}
	if err := m.reader.List(ctx, list, shared); err != nil {
		return err
	}
	for i := range list.Items {
		s := &list.Items[i]
		for j := range s.Status.Conditions {
			c := &s.Status.Conditions[j]
			into <- gauge(serverCondition, truth(c.Status), s.Namespace, s.Name, c.Type)
		}
		into <- gauge(serverSidecars, float64(s.Status.LiveSidecars), s.Namespace, s.Name)
		if s.Status.History != nil {
			into <- gauge(serverLost, float64(s.Status.History.LostRecords), s.Namespace, s.Name)
		}
	}
	return nil
}

// users are counted by the servers that there are. Of the others one count does: whoever makes users can name any, and
// each would be a series, and an alert.
func (m *stateMetrics) users(ctx context.Context, into chan<- prometheus.Metric) error {
	servers := &v1alpha1.RelayServerList{}
	if err := m.reader.List(ctx, servers, shared); err != nil {
		return err
	}
	known := map[types.NamespacedName]bool{}
	for i := range servers.Items {
		known[client.ObjectKeyFromObject(&servers.Items[i])] = true
	}
	list := &v1alpha1.RelayUserList{}
	if err := m.reader.List(ctx, list, shared); err != nil {
		return err
	}
	type key struct{ namespace, server, ready, reason string }
	counts := map[key]int{}
	for i := range list.Items {
		u := &list.Items[i]
		ready, reason := said(u.Status.Conditions, v1alpha1.ConditionReady)
		server := u.Spec.ServerRef.Name
		if !known[types.NamespacedName{Namespace: u.Namespace, Name: server}] {
			server = ""
		}
		counts[key{u.Namespace, server, ready, reason}]++
	}
	for k, n := range counts {
		into <- gauge(serverUsers, float64(n), k.namespace, k.server, k.ready, k.reason)
	}
	return nil
}

func (m *stateMetrics) resets(ctx context.Context, into chan<- prometheus.Metric) error {
	list := &v1alpha1.DeviceResetList{}
	if err := m.reader.List(ctx, list, shared); err != nil {
		return err
	}
	type key struct{ namespace, reason string }
	counts, oldest := map[key]int{}, map[key]time.Time{}
	for i := range list.Items {
		r := &list.Items[i]
		if r.Status.CompletionTime != nil {
			continue
		}
		_, reason := said(r.Status.Conditions, v1alpha1.ConditionComplete)
		k, created := key{r.Namespace, reason}, r.CreationTimestamp.Time
		counts[k]++
		if first, ok := oldest[k]; !ok || created.Before(first) {
			oldest[k] = created
		}
	}
	for k, n := range counts {
		into <- gauge(resetsUnfinished, float64(n), k.namespace, k.reason)
		into <- gauge(resetOldest, max(0, m.clock.Since(oldest[k]).Seconds()), k.namespace, k.reason)
	}
	return nil
}

// said is the status and the reason of a condition.
func said(conditions []metav1.Condition, conditionType string) (status, reason string) {
	if c := meta.FindStatusCondition(conditions, conditionType); c != nil {
		return string(c.Status), c.Reason
	}
	return string(metav1.ConditionUnknown), reasonUnseen
}

func truth(s metav1.ConditionStatus) float64 {
	if s == metav1.ConditionTrue {
		return 1
	}
	return 0
}

func gauge(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
