package historyserver

import "sync"

// places are a bounded number of things that are done at a time, of which each of those who do them gets only some:
// whoever takes what there is must not keep the others out.
type places struct {
	most, mostOfOne int

	mu  sync.Mutex
	all int
	of  map[string]int
}

func newPlaces(most, mostOfOne int) *places {
	return &places{most: most, mostOfOne: mostOfOne, of: map[string]int{}}
}

// enter says whether there is room for somebody, who must leave then.
func (p *places) enter(who string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= p.most || p.of[who] >= p.mostOfOne {
		return false
	}
	p.all++
	p.of[who]++
	return true
}

func (p *places) leave(who string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	p.of[who]--
	if p.of[who] == 0 {
		delete(p.of, who)
	}
}
