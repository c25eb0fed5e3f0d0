package acceptance

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2866"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// radiusShared is what the gateway and the sidecars share.
const radiusShared = "a-shared-secret-of-a-gateway"

// fromPage is the block of a language in docs/radius.md.
func fromPage(t *testing.T, language string) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/radius.md")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(content)
	if match == nil {
		t.Fatalf("docs/radius.md has no block of %s", language)
	}
	return string(match[1])
}

// radclient runs the page's command, changed by pairs of what it says and what it is to say.
func radclient(t *testing.T, changes ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.NewReplacer(changes...).Replace(fromPage(t, "sh")))
	cmd.Env = append(os.Environ(), "SECRET="+radiusShared)
	out, _ := cmd.CombinedOutput() // it fails when it is rejected
	return string(out)
}

// TestRADIUSStory: a gateway is set up as the page says, a person logs in through it, and a reset ends the
// connection at the gateway.
func TestRADIUSStory(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("radclient"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("radclient is missing: install the Debian package freeradius-utils")
		}
		t.Skip("SKIPPED, AND WITH IT A REAL PEER: radclient is missing; install the Debian package freeradius-utils")
	}
	w := newWorld(t, testenv.Shared(t))
	gateway, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close() //nolint:errcheck // nothing more is expected of it

	w.kubectl("", "create", "secret", "generic", "vpn1-radius", "--from-literal=secret="+radiusShared)
	w.kubectl(fromPage(t, "yaml"), "apply", "-f", "-")
	w.kubectl("", "wait", "relayserver/asp1", "--for=jsonpath={.status.conditions[?(@.type=='RADIUSReady')].reason}=RADIUSSecretNotLabelled", "--timeout=60s")
	w.kubectl("", "label", "secret", "vpn1-radius", "tegata.dev/secret-type=radius")
	w.kubectl("", "wait", "relayserver/asp1", "--for=condition=RADIUSReady", "--timeout=60s")
	w.changeServer(func(s *v1alpha1.RelayServer) {
		s.Spec.RADIUS.Clients[0].DisconnectPort = new(int32(netip.MustParseAddrPort(gateway.LocalAddr().String()).Port()))
	})

	authentication, accounting := w.env.FreeAddress(t), w.env.FreeAddress(t)
	s := w.startSidecar("--radius-address="+authentication, "--radius-accounting-address="+accounting)
	w.addUser("taro")
	login := func(changes ...string) string {
		return radclient(t, append(changes, "127.0.0.1:1812", authentication, "NAS-Identifier", "Acct-Session-Id = \"acct-1\"\nNAS-Identifier")...)
	}
	var output string
	w.eventually(func() error {
		if output = login(); !strings.Contains(output, "Received Access-Accept") {
			return fmt.Errorf("login: %s", output)
		}
		return nil
	})
	if got := w.user("taro").Status.Slots; len(got) == 0 || got[0].State != v1alpha1.SlotRegistered || got[0].Binding.RegisteredFrom != "203.0.113.9" {
		t.Errorf("slots %+v, want the device registered", got)
	}
	if out := login("5A1F9C7E20B344D8", "another-device-1"); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("another device: %s", out)
	}
	w.expectFailure("taro", v1alpha1.ReasonDeviceMismatch)

	class := regexp.MustCompile(`Class = (0x[0-9a-f]+)`).FindStringSubmatch(output)
	if class == nil {
		t.Fatalf("no Class: %s", output)
	}
	started := radclient(t, "127.0.0.1:1812", accounting, " auth ", " acct ", "User-Password", "Reply-Message", "Message-Authenticator = 0x00",
		"Acct-Status-Type = Start\nAcct-Session-Id = \"acct-1\"\nClass = "+class[1])
	if !strings.Contains(started, "Received Accounting-Response") {
		t.Fatalf("accounting: %s", started)
	}
	w.reset("taro-new-pc", "taro", v1alpha1.SlotPC)
	_ = gateway.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 4096)
	n, from, err := gateway.ReadFromUDP(buffer)
	if err != nil {
		t.Fatalf("no Disconnect-Request after a reset: %v", err)
	}
	request, err := radius.Parse(buffer[:n], []byte(radiusShared))
	if err != nil || request.Code != radius.CodeDisconnectRequest || rfc2866.AcctSessionID_GetString(request) != "acct-1" {
		t.Errorf("told %v, %v", request, err)
	}
	acknowledgement, err := request.Response(radius.CodeDisconnectACK).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.WriteToUDP(acknowledgement, from); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if s.metric(`tegata_radius_disconnects_total{outcome="acknowledged"}`) != 1 {
			return fmt.Errorf("the acknowledgement is not counted")
		}
		return nil
	})
	log, err := os.ReadFile(s.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{radiusShared, samplePassword, "5A1F9C7E20B344D8"} {
		if strings.Contains(string(log), secret) {
			t.Errorf("the sidecar's log has %q", secret)
		}
	}
}

func (w *world) changeServer(change func(*v1alpha1.RelayServer)) {
	w.t.Helper()
	server := &v1alpha1.RelayServer{}
	if err := w.env.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: serverName}, server); err != nil {
		w.t.Fatal(err)
	}
	before := server.DeepCopy()
	change(server)
	if err := w.env.Client.Patch(context.Background(), server, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}
