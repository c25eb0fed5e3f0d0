package controllers_test

import "golang.org/x/sync/errgroup"

// inParallel does something n times, a few at once.
func (w *world) inParallel(n int, do func(i int) error) {
	w.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	w.must(group.Wait())
}
