package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 64 << 10

// device is one that logs in.
type device struct {
	*options
	key  deviceKey
	http *http.Client
}

func newDevice(o *options, key deviceKey) (*device, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.trusted != "" {
		trusted, err := os.ReadFile(o.trusted)
		if err != nil {
			return nil, fmt.Errorf("read whom to trust: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(trusted) {
			return nil, fmt.Errorf("%s holds no certificate", o.trusted)
		}
	}
	if o.certificate {
		certificate, err := key.certificate()
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	return &device{options: o, key: key, http: &http.Client{Transport: transport}}, nil
}

// logIn gets a challenge, signs it, and sends the login. A certificate needs no challenge: the handshake of
// the connection has one.
func (d *device) logIn(ctx context.Context, password string, out io.Writer) error {
	body := map[string]string{"user": d.user, "password": password, "program": "viewer", "viewer": d.viewer}
	if !d.certificate {
		nonce, err := d.challenge(ctx)
		if err != nil {
			return err
		}
		if body["proof"], err = d.key.prove(nonce, d.host, d.user, d.viewer); err != nil {
			return err
		}
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the login: %w", err)
	}
	response, err := d.post(ctx, "/v1/login", encoded)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if d.include {
		_, _ = fmt.Fprintf(out, "%s %s\n", response.Proto, response.Status)
		_ = response.Header.Write(out) // sorted; what cannot be printed is told below
		_, _ = fmt.Fprintln(out)
	}
	if _, err := io.Copy(out, io.LimitReader(response.Body, maxAnswerBytes)); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	_, err = fmt.Fprintln(out, "HTTP", response.StatusCode)
	return err
}

func (d *device) challenge(ctx context.Context) (string, error) {
	response, err := d.post(ctx, "/v1/challenges", nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var challenge struct {
		Nonce string `json:"nonce"`
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("no challenge: %s", response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswerBytes)).Decode(&challenge); err != nil {
		return "", fmt.Errorf("read the challenge: %w", err)
	}
	return challenge.Nonce, nil
}

func (d *device) post(ctx context.Context, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(d.sidecar, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if d.language != "" {
		request.Header.Set("Accept-Language", d.language)
	}
	return d.http.Do(request)
}
