package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestTimesAreDecodable: a time that Go cannot read would make every list and watch of the kind fail, and so
// stop the whole relay. RFC 3339, and so "format: date-time", permits more than Go reads.
func TestTimesAreDecodable(t *testing.T) {
	t.Parallel()
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	tests := map[string]struct {
		time string
		good bool
	}{
		"in UTC":               {"2026-11-23T00:00:00Z", true},
		"with an offset":       {"2026-11-23T09:00:00+09:00", true},
		"with a fraction":      {"2026-11-23T00:00:00.5Z", true},
		"lower case t":         {"2026-11-23t00:00:00Z", false},
		"lower case z":         {"2026-11-23T00:00:00z", false},
		"offset beyond a day":  {"2026-11-23T00:00:00+25:00", false},
		"a space for a T":      {"2026-11-23 00:00:00Z", false},
		"a leap second":        {"2026-12-31T23:59:60Z", false},
		"a comma for a period": {"2026-11-23T00:00:00,5Z", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			manifest := `{"apiVersion":"tegata.dev/v1alpha1","kind":"RelayUser","metadata":{"name":"` +
				strings.ReplaceAll(strings.ToLower(name), " ", "-") + `"},"spec":{"serverRef":{"name":"asp1"},"validFrom":"` + tc.time + `"}}`
			_, stderr, err := env.Kubectl(t, manifest, "apply", "-n", namespace, "-f", "-")
			if (err == nil) != tc.good {
				t.Errorf("apply of %s: %v %s, want it accepted: %v", tc.time, err, stderr, tc.good)
			}
		})
	}
}
