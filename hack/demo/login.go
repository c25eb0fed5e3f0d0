package main

import (
	"context"
	"fmt"
)

// attempt is a login from a phone, which proves that it holds the key in that file; hack/demo/device does it.
type attempt struct {
	user, password, key string

	language string // the person's
	saveTo   string // a file for the reply with its headers
}

// taro is a login of the user in config/samples from a phone, with the right password.
func taro(key string) attempt { return attempt{user: "taro", password: password, key: key} }

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
	return func(ctx context.Context, c *cluster) error { return run(a.line(c), checks...)(ctx, c) }
}

// line is a command for a shell. No value in the story has a quote.
func (a attempt) line(c *cluster) string {
	line := fmt.Sprintf("echo %s | %s --sidecar=%s --host=%s --key=%s --user=%s",
		a.password, c.shortPath(c.tools.device), c.sidecarURL, relayHost, c.file(a.key), a.user)
	if a.language != "" {
		line += " --language=" + a.language
	}
	if a.saveTo != "" {
		line += " --include | tee " + a.saveTo
	}
	return line
}

// reports is a command for a shell: a login of taro from a device that only reports a string, which a shell
// may work out.
func reports(c *cluster, viewer, fingerprint string) string {
	return fmt.Sprintf("curl -sS -w 'HTTP %%{http_code}\\n' %s/v1/login -H 'Content-Type: application/json' \\\n"+
		`    -d '{"user":"taro","password":"%s","program":"viewer","viewer":"%s","fingerprint":"%s"}'`,
		c.sidecarURL, password, viewer, fingerprint)
}
