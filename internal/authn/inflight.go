package authn

import "sync"

// maxPreferred is how many password checks one account may have under way in the lane of bound devices. A
// person logs in once at a time; somebody who logs in without end must not keep the others out.
const maxPreferred = 2

// inFlight counts the checks under way in the lane of bound devices, by account. Its zero value is ready.
type inFlight struct {
	mu    sync.Mutex
	byUID map[string]int
}

// enter counts one more, if the account may have it. Each that entered leaves.
func (f *inFlight) enter(uid string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byUID[uid] >= maxPreferred {
		return false
	}
	if f.byUID == nil {
		f.byUID = map[string]int{}
	}
	f.byUID[uid]++
	return true
}

func (f *inFlight) leave(uid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byUID[uid]--
	if f.byUID[uid] == 0 {
		delete(f.byUID, uid)
	}
}
