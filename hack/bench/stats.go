package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

const (
	// maxT is the Welch t beyond which two samples are taken to differ. It is the threshold that leakage
	// assessment of cryptography uses (ISO/IEC 17825, dudect): equal distributions pass it once in some
	// hundred thousand comparisons, so that a run with a dozen of them does not cry wolf.
	maxT = 4.5
	// tail is the share of the slowest times that a second comparison leaves out: on a busy machine a few
	// stalls widen the spread so much that no difference would show.
	tail = 0.05
)

// comparison is what two samples of times tell of each other.
type comparison struct {
	medianA, medianB float64
	// t is Welch's, the larger of that over all times and of that without the slowest.
	t float64
	// resolution is the smallest difference of means that would have passed maxT.
	resolution float64
}

// compare needs interleaved samples: what disturbs the machine must disturb both.
func compare(a, b []float64) (comparison, error) {
	c := comparison{medianA: median(a), medianB: median(b)}
	whole, err := welch(a, b)
	if err != nil {
		return c, err
	}
	limit := quantile(slices.Concat(a, b), 1-tail)
	a, b = upTo(a, limit), upTo(b, limit)
	cropped, err := welch(a, b)
	if err != nil {
		return c, err
	}
	c.t = max(whole, cropped)
	c.resolution = maxT * math.Sqrt(stats.Variance(a)/float64(len(a))+stats.Variance(b)/float64(len(b)))
	return c, nil
}

func welch(a, b []float64) (float64, error) {
	result, err := stats.TwoSampleWelchTTest(stats.Sample{Xs: a}, stats.Sample{Xs: b}, stats.LocationDiffers)
	if err != nil {
		return math.NaN(), fmt.Errorf("compare %d with %d times: %w", len(a), len(b), err)
	}
	return math.Abs(result.T), nil
}

func upTo(xs []float64, limit float64) []float64 {
	return slices.DeleteFunc(slices.Clone(xs), func(x float64) bool { return x > limit })
}

func median(xs []float64) float64 { return quantile(xs, 0.5) }

// quantile is not a number of nothing.
func quantile(xs []float64, q float64) float64 {
	s := stats.Sample{Xs: slices.Clone(xs)}
	return s.Sort().Quantile(q)
}
