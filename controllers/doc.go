// Package controllers holds the manager's controllers, one for each kind, and the sweep of credentials.
//
// They own the Secrets with a server's keys, its users' password hashes and its RADIUS clients' shared
// secrets, the sidecars' Role and whom it is bound to, the conditions of each kind, and the carrying out of DeviceResets. Each gathers
// what it needs, decides in a pure function and writes its object's status once, under the resourceVersion that
// it read. They never decide a login, and never put a password, a hash or a key into a status, an event, a log
// or an error.
package controllers

// The manager's own permissions. Those on leases and accesslogs/records, and reading relayusers, relayservers
// and secrets, are also what the sidecars' Roles grant: nobody may grant what they do not hold.
//
// +kubebuilder:rbac:groups=tegata.dev,resources=relayservers;relayusers,verbs=get;list;watch
// +kubebuilder:rbac:groups=tegata.dev,resources=relayservers/status;deviceresets/status,verbs=patch
// +kubebuilder:rbac:groups=tegata.dev,resources=relayusers/status,verbs=patch;serve
// +kubebuilder:rbac:groups=tegata.dev,resources=deviceresets,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups="",resources=secrets;serviceaccounts,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=history.tegata.dev,resources=accesslogs/records,verbs=create
