package shell

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

// ServerTime is the API server's clock, in whole seconds, as the Date header of an answer has it.
func (s *Shell) ServerTime(ctx context.Context) (time.Time, error) {
	config, err := s.Config()
	if err != nil {
		return time.Time{}, err
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return time.Time{}, fmt.Errorf("connect to the cluster: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return time.Time{}, fmt.Errorf("connect to the cluster: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("/version").String(), http.NoBody)
	if err != nil {
		return time.Time{}, err
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask the API server for the time: %w", err)
	}
	defer response.Body.Close()
	// Whatever the answer is, it has a date.
	now, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("read the API server's time: %w", err)
	}
	return now, nil
}
