package certexpiry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func certificate(t *testing.T, notAfter time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestExpiry follows a file that is replaced, and says 0 of one that cannot be read, which an alert takes for expired.
func TestExpiry(t *testing.T) {
	soon, later := time.Unix(1_900_000_000, 0), time.Unix(2_000_000_000, 0)
	path := filepath.Join(t.TempDir(), "tls.crt")
	registry := prometheus.NewRegistry()
	if err := Register(registry, map[string]string{"listener": path, "history-client": ""}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name    string
		content []byte
		want    float64
	}{
		{"as issued, with its authority behind it", append(certificate(t, soon), certificate(t, later)...), float64(soon.Unix())},
		{"renewed", certificate(t, later), float64(later.Unix())},
		{"damaged", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0},
		{"no certificate", []byte("hello"), 0},
	} {
		write(t, path, step.content)
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 1 {
			t.Fatalf("%s: gathered %v, %v; want one metric", step.name, families, err)
		}
		metric := families[0].GetMetric()[0]
		if got := metric.GetGauge().GetValue(); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
		if got := metric.GetLabel()[0].GetValue(); got != "listener" {
			t.Errorf("%s: it is called %q", step.name, got)
		}
	}
}
