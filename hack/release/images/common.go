package main

import (
	"bytes"
	"encoding/pem"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nonroot is who the commands run as, by number, because runAsNonRoot cannot look a name up.
const nonroot = "65532"

const (
	passwd = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:" + nonroot + ":" + nonroot + ":nonroot:/:/sbin/nologin\n"
	group  = "root:x:0:\nnonroot:x:" + nonroot + ":\n"
)

// commonLayer is what every image begins with. It is the same for every architecture, so a node keeps it once.
//
// There are no files of time zones: the commands hold them (time/tzdata). A distribution's package would differ by
// the machine that builds, and so would its certificates.
func commonLayer(created time.Time) (v1.Layer, error) {
	return newLayer(created,
		file{path: "etc/passwd", mode: 0o644, content: []byte(passwd)},
		file{path: "etc/group", mode: 0o644, content: []byte(group)},
		file{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: authorities()},
		file{path: "tmp", mode: 0o1777},
	)
}

// authorities are Mozilla's certificate authorities as PEM, from a Go module: go.sum says which. Those that are
// trusted with a limit only are left out, because a PEM file cannot say the limit.
func authorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a Buffer takes all
		}
	}
	return out.Bytes()
}
