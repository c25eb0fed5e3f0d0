package controllers_test

import (
	"testing"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestManagerLeavesNoGoroutine(t *testing.T) {
	w := newWorld(t)
	before := goleak.IgnoreCurrent()
	stop := w.startManager()
	w.create(testenv.Server(w.namespace, "asp1"), testenv.User(w.namespace, "taro", "asp1"), w.aReset("new-pc", "taro", onPC))
	w.userReady("taro")
	w.resetBecomes("new-pc", metav1.ConditionTrue, v1alpha1.ReasonNothingToClear, "")
	stop()
	goleak.VerifyNone(t, before,
		// The library's watch goes on waiting for its reader when it is stopped with an event in hand.
		goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"),
		// Idle connections of clients to the API server.
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"),
		goleak.IgnoreAnyFunction("net/http.(*http2clientConnReadLoop).run"))
}
