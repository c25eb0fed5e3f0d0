package collector

import (
	"runtime/debug"
	"testing"
)

func TestPace(t *testing.T) {
	const usual = 70 // stands for what the runtime has read at its start
	before := debug.SetGCPercent(usual)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	for name, tc := range map[string]struct {
		users       int
		environment string
		want        int
	}{
		"few users":                          {users: manyUsers - 1, want: usual},
		"many users":                         {users: manyUsers, want: percent},
		"many users, and the operator says":  {users: manyUsers, environment: "70", want: usual},
		"many users, and the operator's off": {users: manyUsers, environment: "off", want: usual},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", tc.environment)
			Pace(tc.users)
			if got := debug.SetGCPercent(usual); got != tc.want {
				t.Errorf("the pace is %d, want %d", got, tc.want)
			}
		})
	}
}
