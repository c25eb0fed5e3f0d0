package extauthz

import (
	"encoding/base64"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

func TestContract(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(listenertest.User+":correct horse"))
	login := map[string]string{"authorization": basic, bearer.DeviceHeader: "a-device-of-hanako", bearer.ViewerHeader: "pc"}
	for name, check := range map[string]func(token string) *authv3.CheckRequest{
		"bearer": func(token string) *authv3.CheckRequest { return fromEnvoy(bearing(token)) },
		"cookie": func(token string) *authv3.CheckRequest {
			return fromEnvoy(map[string]string{"cookie": bearer.CookieName + "=" + token})
		},
		"raw headers": func(token string) *authv3.CheckRequest { return rawFromEnvoy("authorization", "Bearer "+token) },
	} {
		t.Run(name, func(t *testing.T) {
			listenertest.Contract{
				Name: ListenerName,
				New: func(_ testing.TB, s *listenertest.Service) listenertest.Listener {
					return listenertest.Listener{
						Login: func(t testing.TB) listenertest.Reply { return askHere(t, s, fromEnvoy(login)) },
						Check: func(t testing.TB, token string) listenertest.Reply { return askHere(t, s, check(token)) },
					}
				},
				LoginTells: []listenertest.Fact{
					listenertest.FactUser, listenertest.FactSlot, listenertest.FactSession, listenertest.FactToken,
				},
				CheckTells: []listenertest.Fact{listenertest.FactUser, listenertest.FactSlot, listenertest.FactSession},
			}.Run(t)
		})
	}
}

// checkerOf is one without a server.
func checkerOf(s Service) *checker {
	return &checker{
		service: s, metrics: NewMetrics(prometheus.NewRegistry()), log: logr.Discard(), checks: make(slots, 1), waiting: make(slots, 1),
	}
}

// askHere sends a message through the codec and the checker, but over no network.
func askHere(t testing.TB, s Service, r *authv3.CheckRequest) listenertest.Reply {
	t.Helper()
	encoded := encode(r)
	answer, err := checkerOf(s).check(t.Context(), func(v any) error {
		return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded)}, v)
	})
	if err != nil {
		t.Fatal(err)
	}
	message, err := newCodec().Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	defer message.Free()
	var response authv3.CheckResponse
	if err := proto.Unmarshal(message.Materialize(), &response); err != nil {
		t.Fatal(err)
	}
	return asReply(&response, message.Materialize())
}

func asReply(response *authv3.CheckResponse, encoded []byte) listenertest.Reply {
	if response.GetOkResponse() == nil {
		return listenertest.Reply{Bytes: string(encoded)}
	}
	tells := map[listenertest.Fact]string{}
	facts := map[string]listenertest.Fact{
		"x-tegata-user": listenertest.FactUser, "x-tegata-slot": listenertest.FactSlot, "x-tegata-session": listenertest.FactSession,
	}
	for _, h := range response.GetOkResponse().GetHeaders() {
		tells[facts[h.GetHeader().GetKey()]] = h.GetHeader().GetValue()
	}
	for _, h := range response.GetOkResponse().GetResponseHeadersToAdd() {
		_, cookie, _ := strings.Cut(h.GetHeader().GetValue(), "=")
		tells[listenertest.FactToken], _, _ = strings.Cut(cookie, ";")
	}
	return listenertest.Reply{Admitted: true, Bytes: string(encoded), Tells: tells}
}
