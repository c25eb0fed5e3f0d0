package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestOptionsThatAreRefused(t *testing.T) {
	cert, key := certificateFiles(t, t.TempDir(), "relay")
	_, otherKey := certificateFiles(t, t.TempDir(), "other")
	const notLoopback = " is not loopback: give --tls-cert and --tls-key, or --allow-plaintext"
	for name, tc := range map[string]struct {
		args []string // beside --server and --namespace
		want string
	}{
		"unknown flag":                  {[]string{"--sever=x"}, "unknown flag: --sever; see --help"},
		"argument":                      {[]string{"asp1"}, `unexpected argument "asp1"; see --help`},
		"no number":                     {[]string{"--hash-slots=many"}, `invalid argument "many" for "--hash-slots" flag: must be an integer; see --help`},
		"no server":                     {[]string{"--server="}, "--server is required: the name of the RelayServer to serve"},
		"server of another namespace":   {[]string{"--server=relay/asp1"}, `--server "relay/asp1" is no name of a RelayServer`},
		"server in capitals":            {[]string{"--server=Asp1"}, `--server "Asp1" is no name of a RelayServer`},
		"no namespace":                  {[]string{"--namespace="}, "--namespace is required outside a pod"},
		"bad namespace":                 {[]string{"--namespace=a.b"}, `--namespace "a.b" is no name of a namespace`},
		"no identity":                   {[]string{"--identity="}, "--identity is required: the host has no name"},
		"long identity":                 {[]string{"--identity=" + strings.Repeat("i", 254)}, "--identity must have at most 253 bytes"},
		"certificate without key":       {[]string{"--tls-cert=" + cert}, "--tls-cert and --tls-key go together"},
		"key without certificate":       {[]string{"--tls-key=" + key}, "--tls-cert and --tls-key go together"},
		"certificate that is missing":   {[]string{"--tls-cert=/none", "--tls-key=" + key}, "--tls-cert and --tls-key: open /none: no such file or directory"},
		"another certificate's key":     {[]string{"--tls-cert=" + cert, "--tls-key=" + otherKey}, "--tls-cert and --tls-key: tls: private key does not match public key"},
		"key for a certificate":         {[]string{"--tls-cert=" + key, "--tls-key=" + key}, "--tls-cert and --tls-key: tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"},
		"no hash slot":                  {[]string{"--hash-slots=0"}, "--hash-slots and --max-connections must be at least 1"},
		"no connection":                 {[]string{"--max-connections=-1"}, "--hash-slots and --max-connections must be at least 1"},
		"negative queue":                {[]string{"--hash-queue=-1"}, "--hash-queue must not be negative"},
		"log level":                     {[]string{"--log-level=trace"}, "--log-level must be debug, info or error"},
		"all addresses":                 {[]string{"--login-address=:8293"}, "--login-address :8293" + notLoopback},
		"all IPv4 addresses":            {[]string{"--login-address=0.0.0.0:8293"}, "--login-address 0.0.0.0:8293" + notLoopback},
		"all IPv6 addresses":            {[]string{"--login-address=[::]:8293"}, "--login-address [::]:8293" + notLoopback},
		"another address":               {[]string{"--login-address=10.0.0.1:8293"}, "--login-address 10.0.0.1:8293" + notLoopback},
		"a name":                        {[]string{"--login-address=relay:8293"}, "--login-address relay:8293" + notLoopback},
		"a name like localhost":         {[]string{"--login-address=localhost.example:8293"}, "--login-address localhost.example:8293" + notLoopback},
		"not quite loopback":            {[]string{"--login-address=127.1:8293"}, "--login-address 127.1:8293" + notLoopback},
		"no port":                       {[]string{"--login-address=127.0.0.1"}, `--login-address: "127.0.0.1" is no HOST:PORT`},
		"empty port":                    {[]string{"--login-address=127.0.0.1:"}, `--login-address: "127.0.0.1:" has no port between 0 and 65535`},
		"port by name":                  {[]string{"--login-address=127.0.0.1:https"}, `--login-address: "127.0.0.1:https" has no port between 0 and 65535`},
		"port too high":                 {[]string{"--login-address=127.0.0.1:65536"}, `--login-address: "127.0.0.1:65536" has no port between 0 and 65535`},
		"IPv6 without brackets":         {[]string{"--login-address=::1:8293"}, `--login-address: "::1:8293" is no HOST:PORT`},
		"probes without port":           {[]string{"--probe-address=127.0.0.1"}, `--probe-address: "127.0.0.1" is no HOST:PORT`},
		"forward auth in the clear":     {[]string{"--forward-auth-address=:8295"}, "--forward-auth-address :8295" + notLoopback},
		"forward auth without port":     {[]string{"--forward-auth-address=127.0.0.1"}, `--forward-auth-address: "127.0.0.1" is no HOST:PORT`},
		"a header without forward auth": {[]string{"--forward-auth-certificate-header=X-Y"}, "--forward-auth-certificate-header goes with --forward-auth-address"},
		"no header":                     {[]string{"--forward-auth-address=127.0.0.1:1", "--forward-auth-certificate-header=X Y"}, `--forward-auth-certificate-header "X Y" is no name of a header`},
		"certificates without TLS":      {[]string{"--tls-client-certificates"}, "--tls-client-certificates needs --tls-cert and --tls-key"},
		"authorities for nothing":       {[]string{"--tls-cert=" + cert, "--tls-key=" + key, "--tls-client-ca=" + cert}, "--tls-client-ca goes with --tls-client-certificates"},
		"authorities that are none":     {[]string{"--tls-cert=" + cert, "--tls-key=" + key, "--tls-client-certificates", "--tls-client-ca=" + key}, "--tls-client-ca: it holds no certificate"},
		"ext_authz in the clear":        {[]string{"--ext-authz-address=:8296"}, "--ext-authz-address :8296" + notLoopback},
		"ext_authz without port":        {[]string{"--ext-authz-address=127.0.0.1"}, `--ext-authz-address: "127.0.0.1" is no HOST:PORT`},
		"a token for nobody":            {[]string{"--history-token-file=" + key}, "--history-token-file, --history-cert-file and --history-spool-dir go with --history-address"},
		"a spool for nobody":            {[]string{"--history-spool-dir=/spool"}, "--history-token-file, --history-cert-file and --history-spool-dir go with --history-address"},
		"history for strangers":         {[]string{"--history-address=https://h"}, "--history-address needs --history-token-file, or --history-cert-file and --history-key-file"},
		"history in the clear":          {[]string{"--history-address=http://h", "--history-token-file=" + key}, "--history-address must be https://HOST[:PORT]"},
		"half a history certificate":    {[]string{"--history-address=https://h", "--history-cert-file=" + cert}, "--history-cert-file and --history-key-file go together"},
		"a small spool":                 {[]string{"--history-address=https://h", "--history-token-file=" + key, "--history-spool-bytes=1000"}, "--history-spool-bytes must be at least 1048576"},
		"history without end":           {[]string{"--history-address=https://h", "--history-token-file=" + key, "--history-interval=1s"}, "--history-interval must be at least 10s"},
		"a token that is missing":       {[]string{"--history-address=https://h", "--history-token-file=/none"}, "--history-token-file: open /none: no such file or directory"},
		"several at once": {
			[]string{"--server=", "--hash-slots=0", "--login-address=:1"},
			"--server is required: the name of the RelayServer to serve\n--hash-slots and --max-connections must be at least 1\n--login-address :1" + notLoopback,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseOptions(append([]string{"--server=asp1", "--namespace=relay", "--identity=pod"}, tc.args...))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestOptionsThatAreTaken(t *testing.T) {
	cert, key := certificateFiles(t, t.TempDir(), "relay")
	for name, args := range map[string][]string{
		"defaults":               nil,
		"loopback":               {"--login-address=127.0.0.1:0"},
		"all of 127.0.0.0/8":     {"--login-address=127.9.9.9:1"},
		"IPv6 loopback":          {"--login-address=[::1]:8293"},
		"IPv4 in IPv6":           {"--login-address=[::ffff:127.0.0.1]:8293"},
		"localhost":              {"--login-address=localhost:8293"},
		"plaintext when asked":   {"--login-address=:8293", "--allow-plaintext"},
		"TLS anywhere":           {"--login-address=:8293", "--tls-cert=" + cert, "--tls-key=" + key},
		"client certificates":    {"--tls-cert=" + cert, "--tls-key=" + key, "--tls-client-certificates"},
		"and their authorities":  {"--tls-cert=" + cert, "--tls-key=" + key, "--tls-client-certificates", "--tls-client-ca=" + cert},
		"forward auth":           {"--forward-auth-address=127.0.0.1:8295", "--forward-auth-certificate-header=X-Tegata-Client-Cert"},
		"forward auth with TLS":  {"--forward-auth-address=:8295", "--tls-cert=" + cert, "--tls-key=" + key},
		"ext_authz":              {"--ext-authz-address=127.0.0.1:8296"},
		"ext_authz with TLS":     {"--ext-authz-address=:8296", "--tls-cert=" + cert, "--tls-key=" + key},
		"no probes":              {"--probe-address=0"},
		"probes for the kubelet": {"--probe-address=:8294"},
		"a host's odd name":      {"--identity=My_Host.local"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parseOptions(append([]string{"--server=asp1", "--namespace=relay", "--identity=pod"}, args...))
			if err != nil {
				t.Fatal(err)
			}
			if o.server != "asp1" || o.namespace != "relay" || o.hashSlots < 1 || o.maxConnections != 4096 {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// TestOptionsFromTheEnvironment: as an injected sidecar has them, from labels and annotations that need not exist.
func TestOptionsFromTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"TEGATA_SERVER": "asp1", "TEGATA_NAMESPACE": "relay", "TEGATA_IDENTITY": "pod-0", "TEGATA_LOGIN_ADDRESS": "",
		"TEGATA_FORWARD_AUTH_ADDRESS": ":8295", "TEGATA_ALLOW_PLAINTEXT": "true", "TEGATA_TLS_CLIENT_CERTIFICATES": "",
		"TEGATA_HASH_SLOTS": "4", "TEGATA_VERSION": "v1.2.3", "TEGATA_SERVICE_HOST": "10.0.0.1",
	} {
		t.Setenv(name, value)
	}
	o, err := parseOptions([]string{"--hash-slots=2"})
	if err != nil {
		t.Fatal(err)
	}
	if o.server != "asp1" || o.identity != "pod-0" || o.loginAddress != "127.0.0.1:8293" || o.forwardAuthAddress != ":8295" || !o.allowPlaintext {
		t.Errorf("got %+v", o)
	}
	if o.hashSlots != 2 {
		t.Errorf("the flag was given, and %d hash slots were taken", o.hashSlots)
	}
	t.Setenv("TEGATA_HASH_SLOTS", "many")
	t.Setenv("TEGATA_ALLOW_PLAINTEXT", "perhaps")
	_, err = parseOptions(nil)
	if err == nil || !strings.Contains(err.Error(), "TEGATA_HASH_SLOTS: ") || !strings.Contains(err.Error(), "TEGATA_ALLOW_PLAINTEXT: ") {
		t.Errorf("got %v", err)
	}
}

// TestInjectedEnvironmentIsOfFlags: what injection sets that no flag is called like would be silently nothing.
func TestInjectedEnvironmentIsOfFlags(t *testing.T) {
	help, _, _ := runMain(t, "--help")
	files, err := filepath.Glob("../../config/components/*/workload.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("components: %v, %v", files, err)
	}
	for _, file := range append(files, "../../config/inject/sidecar.yaml") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`name: TEGATA_([A-Z_]+)`).FindAllSubmatch(content, -1)
		if len(names) == 0 {
			t.Errorf("%s sets nothing", file)
		}
		for _, name := range names {
			flag := strings.ToLower(strings.ReplaceAll(string(name[1]), "_", "-"))
			if !regexp.MustCompile(` --` + flag + `[ \[]`).MatchString(help) {
				t.Errorf("%s: TEGATA_%s is of no flag", file, name[1])
			}
		}
	}
}

func TestVersionNeedsNothingElse(t *testing.T) {
	if _, err := parseOptions([]string{"--version"}); err != nil {
		t.Error(err)
	}
}

// runMain runs the sidecar as a process of its own.
func runMain(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return runBinary(t, "sidecar", args...)
}

func runBinary(t *testing.T, as string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), runAs+"="+as, "KUBECONFIG="+filepath.Join(t.TempDir(), "none"))
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestCommandLine(t *testing.T) {
	for name, tc := range map[string]struct {
		args       []string
		wantCode   int
		wantStdout string // a pattern, as is the other
		wantStderr string
	}{
		"help":         {[]string{"--help"}, 0, `(?s)\Asidecar answers the logins of one relay\..*\n  sidecar --server NAME.*--server string.*\z`, `\A\z`},
		"short help":   {[]string{"-h"}, 0, `\Asidecar answers`, `\A\z`},
		"version":      {[]string{"--version"}, 0, `\Adev\n\z`, `\A\z`},
		"unknown flag": {[]string{"--nope"}, 2, `\A\z`, `\Asidecar: unknown flag: --nope; see --help\n\z`},
		"no server":    {nil, 2, `\A\z`, `\Asidecar: --server is required: the name of the RelayServer to serve\n`},
		"no API server": {
			[]string{"--server=a", "--namespace=b", "--kubeconfig=/nonexistent"}, 1, `\A\z`,
			`\A\{"level":"error",.*"msg":"Sidecar failed","server":"b/a","error":"read kubeconfig: .*\}\n\z`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := runMain(t, tc.args...)
			if code != tc.wantCode || !regexp.MustCompile(tc.wantStdout).MatchString(stdout) || !regexp.MustCompile(tc.wantStderr).MatchString(stderr) {
				t.Errorf("exit %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
			}
		})
	}
}

// TestHelpTellsEveryFlag holds the help to a width that a terminal shows, and docs/sidecar.md to the flags.
func TestHelpTellsEveryFlag(t *testing.T) {
	help, _, _ := runMain(t, "--help")
	page, err := os.ReadFile("../../docs/sidecar.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(help) {
		if len(line) > 110 {
			t.Errorf("line of %d characters: %s", len(line), line)
		}
	}
	flags := regexp.MustCompile(`(?m)^ +(--[a-z-]+)`).FindAllStringSubmatch(help, -1)
	if len(flags) < 10 {
		t.Fatalf("found only %d flags in %s", len(flags), help)
	}
	for _, flag := range flags {
		if !strings.Contains(string(page), "`"+flag[1]+"`") {
			t.Errorf("docs/sidecar.md does not tell of %s", flag[1])
		}
	}
}

// TestLibrariesLogAsWeDo has client-go and controller-runtime say something in a process of its own.
func TestLibrariesLogAsWeDo(t *testing.T) {
	_, stderr, _ := runBinary(t, "libraries")
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want 2: %s", len(lines), stderr)
	}
	for i, want := range []string{"from client-go", "from controller-runtime"} {
		if !strings.HasPrefix(lines[i], `{"level":"info"`) || !strings.Contains(lines[i], `"msg":"`+want+`"`) {
			t.Errorf("line %s, want one of JSON that says %q", lines[i], want)
		}
	}
}
