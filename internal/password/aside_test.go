package password

import "testing"

func TestPanicOfAHashIsTheCallers(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	v.match = func(scheme, []byte, *arena) bool { panic("a broken scheme") }
	for range 3 { // the slot is free again each time
		func() {
			defer func() {
				if got := recover(); got != "a broken scheme" {
					t.Errorf("recovered %v", got)
				}
			}()
			_, err := v.Verify(t.Context(), Hash{}, []byte("some password"), Ordinary)
			t.Errorf("no panic, error %v", err)
		}()
	}
}
