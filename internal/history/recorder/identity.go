package recorder

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// identity is who asks, and who is asked. It holds nothing of the files: they are read when they are used.
type identity struct{ o ClientOptions }

// dial connects with the files as they are. The connection speaks HTTP/1.1: there is one request at a time.
func (i *identity) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config, err := i.config(host)
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{NetDialer: &dialer, Config: config}).DialContext(ctx, network, address)
}

func (i *identity) config(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if i.o.CAFile != "" {
		content, err := os.ReadFile(i.o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--history-ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("--history-ca-file: %s holds no PEM certificate", i.o.CAFile)
		}
	}
	if i.o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(i.o.CertFile, i.o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("--history-cert-file and --history-key-file: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

var errToken = errors.New("--history-token-file holds no token")

// token is the one to show, empty for none. Its error does not quote it.
func (i *identity) token() (string, error) {
	if i.o.TokenFile == "" {
		return "", nil
	}
	content, err := os.ReadFile(i.o.TokenFile)
	if err != nil {
		return "", fmt.Errorf("--history-token-file: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "", errToken
	}
	return token, nil
}
