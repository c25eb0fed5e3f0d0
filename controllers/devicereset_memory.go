package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// targetMemory keeps, for each reset that is under way, the names of the users that its selector picked,
// and the users of the window that was noted last. It saves listing the users for every window and reading
// them twice, and keeps a batch to those whom the first look found. Nothing depends on it: a manager that
// starts lists once more, from the cursor on, and reads them.
type targetMemory struct {
	mu     sync.Mutex
	resets map[types.NamespacedName]*targets
}

type targets struct {
	reset  types.UID
	users  []string // sorted
	window map[string]*v1alpha1.RelayUser
}

func newTargetMemory() *targetMemory {
	return &targetMemory{resets: map[types.NamespacedName]*targets{}}
}

// of is what is kept of a reset; of another that bore its name, nothing. It needs m.mu.
func (m *targetMemory) of(reset *v1alpha1.DeviceReset) *targets {
	name := client.ObjectKeyFromObject(reset)
	if t := m.resets[name]; t != nil && t.reset == reset.UID {
		return t
	}
	t := &targets{reset: reset.UID}
	m.resets[name] = t
	return t
}

func (m *targetMemory) forget(reset types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.resets, reset)
}

func (m *targetMemory) pick(reset *v1alpha1.DeviceReset, users []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(reset).users = users
}

// picked is nil when nothing is kept.
func (m *targetMemory) picked(reset *v1alpha1.DeviceReset) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(reset).users
}

// remember keeps the users of the window that is noted.
func (m *targetMemory) remember(reset *v1alpha1.DeviceReset, users []*v1alpha1.RelayUser) {
	window := make(map[string]*v1alpha1.RelayUser, len(users))
	for _, user := range users {
		window[user.Name] = user
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(reset).window = window
}

// recall gives out, once, the user of a noted binding; nil when it is not kept.
func (m *targetMemory) recall(reset *v1alpha1.DeviceReset, noted v1alpha1.NotedBinding) *v1alpha1.RelayUser {
	m.mu.Lock()
	defer m.mu.Unlock()
	window := m.of(reset).window
	user := window[noted.User]
	delete(window, noted.User)
	if user == nil || string(user.UID) != noted.UID {
		return nil
	}
	return user
}
