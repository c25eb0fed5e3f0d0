package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// attempt is a login as a relay passes it on; internal/listener/login/openapi.yaml describes the body.
type attempt struct {
	User        string `json:"user"`
	Password    string `json:"password"`
	Program     string `json:"program"`
	Viewer      string `json:"viewer"`
	Fingerprint string `json:"fingerprint"`

	language string // the person's, as Accept-Language
	saveTo   string // a file for the reply with its headers
}

// taro is a login of the user in config/samples from a phone, with the right password.
func taro(fingerprint string) attempt {
	return attempt{User: "taro", Password: password, Program: "viewer", Viewer: "mobile", Fingerprint: fingerprint}
}

// succeeds sends the login, which must be let in and answered with those texts.
func (a attempt) succeeds(texts ...string) act {
	return a.send(append([]string{"HTTP 200"}, texts...))
}

// isRefused sends the login, which must be refused like any other, with those texts.
func (a attempt) isRefused(texts ...string) act {
	return a.send(append([]string{"HTTP 401", `"code":293`}, texts...))
}

func (a attempt) send(texts []string) act {
	checks := make([]check, len(texts))
	for i, text := range texts {
		checks[i] = says(text)
	}
	return func(ctx context.Context, c *cluster) error {
		line, err := a.line(c.loginURL)
		if err != nil {
			return err
		}
		return run(line, checks...)(ctx, c)
	}
}

// line is a command for a shell. No value in the story has a quote.
func (a attempt) line(url string) (string, error) {
	body, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encode a login: %w", err)
	}
	line := "curl -sS"
	if a.saveTo != "" {
		line += "i" // the headers too
	}
	line += " -w 'HTTP %{http_code}\\n' " + url + " -H 'Content-Type: application/json'"
	if a.language != "" {
		line += " -H 'Accept-Language: " + a.language + "'"
	}
	line += " \\\n    -d '" + string(body) + "'"
	if a.saveTo != "" {
		line += " | tee " + a.saveTo
	}
	return line, nil
}
