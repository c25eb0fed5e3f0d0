// Package e2e installs Tegata in a real cluster as docs/install.md says, and tells the manual's story in its pods:
// logins, a reset, gateways, the access history, and faults under load.
//
// It owns nothing but tests, of which those in pods run by `make e2e` only. It must not know what cluster that is: it is
// given a kubeconfig and a command that loads an image into the nodes, and runs on kind as on anything else. What it
// says to the cluster it says by kubectl, as people do, and the commands of the pages are read from the pages.
package e2e
