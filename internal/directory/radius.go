package directory

import (
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/nas"
)

// radius keeps the RADIUS clients, which come from two objects: what they may do from the RelayServer, their
// secrets from a Secret.
type radius struct {
	table atomic.Pointer[nas.Table]

	mu      sync.Mutex
	spec    *v1alpha1.RADIUS
	secrets map[string][]byte
}

func (r *radius) putSpec(spec *v1alpha1.RADIUS, log logr.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spec = spec
	r.rebuild(log)
}

func (r *radius) putSecrets(secrets map[string][]byte, log logr.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = secrets
	r.rebuild(log)
}

// rebuild needs r.mu. One of the two objects may be ahead of the other: the manager tells in the RelayServer's
// condition what stays wrong.
func (r *radius) rebuild(log logr.Logger) {
	table, problems := nas.NewTable(r.spec, r.secrets)
	for _, problem := range problems {
		log.V(1).Info("RADIUS client is not served", "problem", problem.Error())
	}
	r.table.Store(table)
}
