package controllers

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	passwordHashes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tegata_password_hashes_total",
		Help: "Passwords that were hashed because their Secret was new or had changed.",
	})
	resetsFinished = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tegata_device_resets_finished_total",
		Help: "DeviceResets that finished, by the reason of their Complete condition.",
	}, []string{"reason"})
	resetSlots = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tegata_device_reset_slots_total",
		Help: "Slots that DeviceResets were carried out on, by what was done.",
	}, []string{"outcome"})
	bindingsRestored = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tegata_bindings_restored_total",
		Help: "Users whose devices were restored from their record because status had lost them.",
	})
	bindingsNotRestored = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tegata_bindings_not_restored_users",
		Help: "Users whose status has lost what their record, which cannot be read, may hold: nobody enrols.",
	})
	recordsBehind = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tegata_binding_records_behind",
		Help: "Users the record of whose devices could not be brought up to date.",
	})
)

// registerMetrics adds the metrics to those that the manager serves, once in a process.
func registerMetrics(state *stateMetrics) error {
	for _, metric := range []prometheus.Collector{
		passwordHashes, resetsFinished, resetSlots, bindingsRestored, bindingsNotRestored, recordsBehind, state,
	} {
		var again prometheus.AlreadyRegisteredError
		if err := metrics.Registry.Register(metric); err != nil && !errors.As(err, &again) {
			return fmt.Errorf("register metric: %w", err)
		}
	}
	return nil
}
