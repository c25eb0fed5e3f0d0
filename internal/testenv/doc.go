// Package testenv owns the real control plane that tests, benchmarks and the demo run against: etcd,
// kube-apiserver and, when asked for, kube-controller-manager, each a child process that can be paused,
// killed and started again, with certificates of its own and RBAC on.
//
// A package that needs it writes
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }
//
// and calls Shared in its tests, or New for a control plane that the test may break.
//
// It must not be imported by anything that ships, and knows nothing of what it is used to test beyond
// the API types and the manifests under config/.
package testenv
