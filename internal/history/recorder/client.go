package recorder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/tegata-dev/tegata/internal/history"
)

const (
	// sendTimeout bounds one batch, from the connection to the answer.
	sendTimeout = 30 * time.Second
	// maxAnswerBytes bounds what is read of an answer: a thousand refusals.
	maxAnswerBytes = 1 << 20
)

// ClientOptions say where the history server is, and who asks.
type ClientOptions struct {
	// Address is https://HOST[:PORT], of the history server.
	Address string
	// Namespace and Server name the RelayServer whose records they are.
	Namespace, Server string
	// CAFile has the certificates of the authorities by which the server is known; the system's when empty.
	CAFile string
	// TokenFile has a ServiceAccount's token. Or CertFile and KeyFile are a client certificate.
	TokenFile         string
	CertFile, KeyFile string
}

// Client sends batches to a history server. All files are read again whenever they are needed: they are replaced
// before they run out.
type Client struct {
	url     string
	who     *identity
	http    *http.Client
	body    bytes.Buffer
	gzip    *gzip.Writer
	timeout time.Duration
}

// NewClient makes a Client. Its error says what is wrong with the options.
func NewClient(o ClientOptions) (*Client, error) {
	base, err := url.Parse(o.Address)
	if err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("--history-address must be https://HOST[:PORT]")
	}
	c := &Client{
		who: &identity{o: o}, timeout: sendTimeout,
		url: base.JoinPath("apis/history.tegata.dev/v1alpha1/namespaces", o.Namespace, "accesslogs", o.Server, "records").String(),
	}
	if c.gzip, err = gzip.NewWriterLevel(&c.body, gzip.BestSpeed); err != nil {
		return nil, err
	}
	if _, err := c.who.config(base.Hostname()); err != nil {
		return nil, err
	}
	if _, err := c.who.token(); err != nil {
		return nil, err
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialTLSContext: c.who.dial, MaxConnsPerHost: 1, IdleConnTimeout: time.Minute,
			DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		},
		// Whoever it leads to is not the one that the token is for.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Send sends records, of one sender at a time. Its error is ErrNotTaken, or a SendError.
func (c *Client) Send(ctx context.Context, records [][]byte) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := c.request(ctx, records)
	if err != nil {
		return Answer{}, &SendError{Err: err}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, &SendError{Err: err}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, response.Body, maxAnswerBytes) // so that the connection can be used again
		return Answer{}, c.refusal(response)
	}
	answer, err := readAnswer(response.Body, len(records))
	if err != nil {
		return Answer{}, &SendError{Status: response.StatusCode, Err: err}
	}
	return answer, nil
}

func (c *Client) request(ctx context.Context, records [][]byte) (*http.Request, error) {
	c.body.Reset()
	c.gzip.Reset(&c.body)
	for _, record := range records {
		if _, err := c.gzip.Write(record); err != nil {
			return nil, err
		}
	}
	if err := c.gzip.Close(); err != nil {
		return nil, err
	}
	// A copy: a request that was given up may still be read.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(bytes.Clone(c.body.Bytes())))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", history.MediaType)
	request.Header.Set("Content-Encoding", "gzip")
	request.Header.Set("Accept", "application/json")
	token, err := c.who.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

// refusal says what an answer other than 200 means.
func (c *Client) refusal(response *http.Response) error {
	status := response.StatusCode
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return fmt.Errorf("%w: status %d", ErrNotTaken, status)
	case http.StatusUnauthorized, http.StatusForbidden:
		c.http.CloseIdleConnections() // a certificate is shown once a connection
	}
	return &SendError{Status: status, After: retryAfter(response.Header), Err: fmt.Errorf("history server answers %d%s", status, advice(status))}
}

func advice(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return ": it does not know this token or certificate; check --history-token-file and its audience, or --history-cert-file"
	case http.StatusForbidden:
		return ": this sidecar may not create accesslogs/records of its RelayServer; check its Role"
	case http.StatusNotFound:
		return ": check --history-address"
	case http.StatusTooManyRequests:
		return ": it is busy, or this RelayServer has sent more than it may; the rest waits"
	}
	return ""
}

// retryAfter reads seconds. A date would have two clocks compared.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second //nolint:gosec // 16 bits
}

var errNonsense = errors.New("answer is none of a history server")

// readAnswer reads what became of so many records. Who does not answer for all of them is not believed.
func readAnswer(body io.Reader, records int) (Answer, error) {
	var a struct {
		Kept    *int `json:"kept"`
		Dropped int  `json:"dropped"`
		Refused []struct {
			Index int    `json:"index"`
			ID    string `json:"id"`
			Error string `json:"error"`
		} `json:"refused"`
	}
	content, err := io.ReadAll(io.LimitReader(body, maxAnswerBytes))
	if err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	if json.Unmarshal(content, &a) != nil || a.Kept == nil || *a.Kept < 0 || a.Dropped < 0 || *a.Kept+a.Dropped+len(a.Refused) != records {
		return Answer{}, errNonsense
	}
	answer := Answer{Kept: *a.Kept, Dropped: a.Dropped}
	seen := map[int]bool{}
	for _, refused := range a.Refused {
		if refused.Index < 0 || refused.Index >= records || seen[refused.Index] {
			return Answer{}, errNonsense
		}
		seen[refused.Index] = true
		answer.Refused = append(answer.Refused, Refusal{refused.Index, refused.ID, refused.Error})
	}
	return answer, nil
}

// Close ends connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

var dialer = net.Dialer{Timeout: 10 * time.Second}
