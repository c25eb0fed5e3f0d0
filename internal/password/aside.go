package password

import "runtime"

// aside runs f on a thread of its own that gives way to all others of this process, and waits for it. Hashing is all
// a core does for a twentieth of a second at a time, and the system shares cores by the thread: beside one that is
// as good as any other, a request that is answered in microseconds waits for milliseconds. What f is told to call now
// and then lets others have the core in between; it is nil where that would cost the hash more than its share. A panic
// of f is the caller's, who may survive it.
func aside(f func(yield func())) {
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		runtime.LockOSThread() // and never unlocked: nobody else gets a thread that gives way
		f(giveWay())
	}()
	<-done
	if panicked != nil {
		panic(panicked)
	}
}
