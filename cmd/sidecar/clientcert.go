package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// askForCertificates makes a listener ask for client certificates, if it is to. The handshake proves that the
// client holds the key, whoever has issued the certificate; the authorities, if any, are asked besides.
func (o *options) askForCertificates(config *tls.Config) error {
	if !o.clientCertificates {
		return nil
	}
	authorities, err := clientAuthorities(o.clientCA)
	if err != nil {
		return fmt.Errorf("read client authorities: %w", err)
	}
	config.ClientAuth = tls.RequestClientCert
	if authorities != nil {
		config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, authorities
	}
	// A resumed connection would have its certificate from a ticket, which can be copied, and not from a key.
	config.SessionTicketsDisabled = true
	return nil
}

// clientAuthorities reads PEM certificates; nil without a path.
func clientAuthorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("it holds no certificate")
	}
	return pool, nil
}
