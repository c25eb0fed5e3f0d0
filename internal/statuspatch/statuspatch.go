// Package statuspatch is the one way in which Tegata writes an object's status: a merge patch of what
// changed, under the resourceVersion that was read, or no request at all when nothing changed.
package statuspatch

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Writer is what Apply needs of a client.
type Writer interface {
	Status() client.SubResourceWriter
}

// Apply lets mutate change obj and stores the difference in its status. On success obj is what the API
// server stored. It reports whether a request was made. Somebody else's write since obj was read is a
// conflict (apierrors.IsConflict): read again, decide again. Lists are replaced whole, which is safe only
// because of that lock.
func Apply[T client.Object](ctx context.Context, w Writer, obj T, mutate func(T)) (bool, error) {
	before, ok := obj.DeepCopyObject().(T)
	if !ok {
		return false, fmt.Errorf("deep copy of %T is of another type", obj)
	}
	mutate(obj)
	if equality.Semantic.DeepEqual(before, obj) {
		return false, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := w.Status().Patch(ctx, obj, patch); err != nil {
		return true, fmt.Errorf("patch status of %T %s/%s: %w", obj, obj.GetNamespace(), obj.GetName(), err)
	}
	return true, nil
}
