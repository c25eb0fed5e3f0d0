// Package historyserver serves what a history.Store keeps as an aggregated API server: AccessRecord and UserUsage
// to people who read with kubectl, and the endpoint to which sidecars send records. It also does what a Store
// leaves to others: it closes connections of which no end was told, and drops what is older than it may be.
//
// It owns names, selectors, pages, columns and the limits of its requests. Who may do what is decided by the API
// server that it stands behind (TokenReview, SubjectAccessReview). It must not know a database, and must not write
// to the API server.
package historyserver
