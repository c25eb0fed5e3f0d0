package main

import (
	"context"
	"fmt"
	"math"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape is what a sidecar tells of itself.
type scrape map[string]*dto.MetricFamily

func (s *sidecar) scrape(ctx context.Context) (scrape, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.probes+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return families, nil
}

// counter sums a counter over all metrics that have the label; an empty name of the label takes all.
func (s scrape) counter(name, label, value string) float64 {
	sum := 0.0
	for _, m := range s[name].GetMetric() {
		if has(m, label, value) {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// histogram is the first one that has the label.
func (s scrape) histogram(name, label, value string) *dto.Histogram {
	for _, m := range s[name].GetMetric() {
		if has(m, label, value) {
			return m.GetHistogram()
		}
	}
	return nil
}

func has(m *dto.Metric, label, value string) bool {
	if label == "" {
		return true
	}
	for _, l := range m.GetLabel() {
		if l.GetName() == label && l.GetValue() == value {
			return true
		}
	}
	return false
}

// since is what was observed after an earlier scrape, of the same histogram.
func since(before, now *dto.Histogram) *dto.Histogram {
	n, sum := now.GetSampleCount()-before.GetSampleCount(), now.GetSampleSum()-before.GetSampleSum()
	observed := &dto.Histogram{SampleCount: &n, SampleSum: &sum}
	for i, b := range now.GetBucket() {
		bound, more := b.GetUpperBound(), b.GetCumulativeCount()
		if earlier := before.GetBucket(); i < len(earlier) {
			more -= earlier[i].GetCumulativeCount()
		}
		observed.Bucket = append(observed.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCount: &more})
	}
	return observed
}

// within is the upper bound of the bucket that holds the n-th smallest observation.
func within(h *dto.Histogram, n float64) float64 {
	for _, b := range h.GetBucket() {
		if float64(b.GetCumulativeCount()) >= n {
			return b.GetUpperBound()
		}
	}
	return math.Inf(1)
}
