// Package certexpiry tells Prometheus when certificates that a program shows run out.
//
// It owns tegata_certificate_expiry_timestamp_seconds. It reads the files at each scrape, because programs read them
// again when they change; it must not hold on to what it read, and never reads a key.
package certexpiry

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus"
)

// maxBytes bounds what is read of a file.
const maxBytes = 1 << 20

var expiry = prometheus.NewDesc("tegata_certificate_expiry_timestamp_seconds",
	"When a certificate that is shown to others runs out, in seconds since 1970; 0 when its file cannot be read.",
	[]string{"certificate"}, nil)

// Register tells of the certificates in the PEM files of the given paths, by what they are called in the metric. An
// empty path is left out.
func Register(r prometheus.Registerer, files map[string]string) error {
	if err := r.Register(collector(files)); err != nil {
		return fmt.Errorf("register metric of certificates: %w", err)
	}
	return nil
}

type collector map[string]string

// Describe tells of the one metric.
func (collector) Describe(into chan<- *prometheus.Desc) { into <- expiry }

// Collect reads each file.
func (c collector) Collect(into chan<- prometheus.Metric) {
	for name, path := range c {
		if path == "" {
			continue
		}
		seconds := 0.0
		if leaf, err := read(path); err == nil {
			seconds = float64(leaf.NotAfter.Unix())
		}
		into <- prometheus.MustNewConstMetric(expiry, prometheus.GaugeValue, seconds, name)
	}
}

var errNone = errors.New("no PEM certificate")

// read is the first certificate of a file: the one that is shown, before those that have issued it.
func read(path string) (*x509.Certificate, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxBytes))
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return nil, errNone
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}
