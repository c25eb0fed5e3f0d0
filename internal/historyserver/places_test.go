package historyserver

import "testing"

// TestNobodyTakesAllPlaces has one come again and again: there is room for others, until all of it is taken.
func TestNobodyTakesAllPlaces(t *testing.T) {
	p := newPlaces(5, 2)
	enter := func(who string, want bool) {
		t.Helper()
		if got := p.enter(who); got != want {
			t.Fatalf("%s may enter: %v, want %v", who, got, want)
		}
	}
	for range 2 {
		enter("greedy", true)
	}
	for range 3 {
		enter("greedy", false)
	}
	for _, who := range []string{"a", "b", "c"} {
		enter(who, true)
	}
	enter("d", false)
	p.leave("a")
	enter("greedy", false)
	enter("d", true)
	p.leave("greedy")
	enter("greedy", true)
	for _, who := range []string{"greedy", "greedy", "b", "c", "d"} {
		p.leave(who)
	}
	if p.all != 0 || len(p.of) != 0 {
		t.Errorf("%d are left, of %v", p.all, p.of)
	}
}
