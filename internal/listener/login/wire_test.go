package login

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/httpserver"
)

func TestRequestsOnTheWire(t *testing.T) {
	const jsonType = "Content-Type: application/json\r\n"
	head := func(request string, lines ...string) string {
		lines = append([]string{request, "Host: relay", "Connection: close"}, lines...)
		return strings.Join(lines, "\r\n") + "\r\n"
	}
	login := func(request string, lines ...string) string {
		lines = append(lines, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(goodBody)), "")
		return head(request, lines...) + goodBody
	}
	chunked := func(chunks string) string {
		return head("POST /v1/login HTTP/1.1", "Transfer-Encoding: chunked") + jsonType + "\r\n" + chunks
	}
	for name, tc := range map[string]struct {
		raw       string
		want      int
		wantAllow string
	}{
		"a login":                         {login("POST /v1/login HTTP/1.1"), 200, ""},
		"HTTP/1.0":                        {strings.ReplaceAll(login("POST /v1/login HTTP/1.0"), "Host: relay\r\n", ""), 200, ""},
		"with a query":                    {login("POST /v1/login?user=x HTTP/1.1"), 200, ""},
		"an absolute target":              {login("POST http://elsewhere.example/v1/login HTTP/1.1"), 200, ""},
		"an escaped letter":               {login("POST /v1/%6Cogin HTTP/1.1"), 200, ""},
		"chunked":                         {chunked(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(goodBody), goodBody)), 200, ""},
		"GET":                             {head("GET /v1/login HTTP/1.1", ""), 405, "POST"},
		"PUT":                             {login("PUT /v1/login HTTP/1.1"), 405, "POST"},
		"DELETE":                          {head("DELETE /v1/login HTTP/1.1", ""), 405, "POST"},
		"OPTIONS":                         {head("OPTIONS /v1/login HTTP/1.1", ""), 405, "POST"},
		"a method in small letters":       {login("post /v1/login HTTP/1.1"), 405, "POST"},
		"overridden method":               {head("GET /v1/login HTTP/1.1", "X-HTTP-Method-Override: POST", ""), 405, "POST"},
		"POST of the description":         {login("POST /openapi.yaml HTTP/1.1"), 405, "GET, HEAD"},
		"the description":                 {head("GET /openapi.yaml HTTP/1.1", ""), 200, ""},
		"root":                            {head("GET / HTTP/1.1", ""), 404, ""},
		"two slashes":                     {login("POST //v1/login HTTP/1.1"), 404, ""},
		"two slashes inside":              {login("POST /v1//login HTTP/1.1"), 404, ""},
		"a slash behind":                  {login("POST /v1/login/ HTTP/1.1"), 404, ""},
		"an escaped slash":                {login("POST /v1%2Flogin/.. HTTP/1.1"), 404, ""},
		"dots":                            {login("POST /v1/../v1/login HTTP/1.1"), 404, ""},
		"escaped dots":                    {login("POST /v1/%2e/login HTTP/1.1"), 404, ""},
		"a parameter":                     {login("POST /v1/login;x HTTP/1.1"), 404, ""},
		"a NUL behind":                    {login("POST /v1/login%00 HTTP/1.1"), 404, ""},
		"in capitals":                     {login("POST /V1/LOGIN HTTP/1.1"), 404, ""},
		"a proxy's CONNECT":               {login("CONNECT /v1/login HTTP/1.1"), 405, "POST"},
		"a tunnel":                        {login("CONNECT relay:443 HTTP/1.1"), 404, ""},
		"a bad escape":                    {login("POST /v1/%zz HTTP/1.1"), 400, ""},
		"no version":                      {login("POST /v1/login"), 400, ""},
		"HTTP/2 without TLS":              {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, ""},
		"no host":                         {strings.ReplaceAll(login("POST /v1/login HTTP/1.1"), "Host: relay\r\n", ""), 400, ""},
		"two hosts":                       {login("POST /v1/login HTTP/1.1", "Host: other"), 400, ""},
		"a space before a colon":          {login("POST /v1/login HTTP/1.1", "X-Y : z"), 400, ""},
		"a body longer than its length":   {post(goodBody) + secret, 200, ""},
		"a negative length":               {head("POST /v1/login HTTP/1.1", "Content-Length: -1") + jsonType + "\r\n" + goodBody, 400, ""},
		"two lengths":                     {login("POST /v1/login HTTP/1.1", "Content-Length: 1"), 400, ""},
		"a length that is no number":      {head("POST /v1/login HTTP/1.1", "Content-Length: 0x10") + jsonType + "\r\n" + goodBody, 400, ""},
		"a length beyond all":             {head("POST /v1/login HTTP/1.1", "Content-Length: 99999999999999999999") + jsonType + "\r\n" + goodBody, 400, ""},
		"a great length, nothing sent":    {head("POST /v1/login HTTP/1.1", "Content-Length: 1048576") + jsonType + "\r\n", 413, ""},
		"no length":                       {head("POST /v1/login HTTP/1.1") + jsonType + "\r\n", 400, ""},
		"chunks of more than 8 KiB":       {chunked(strings.Repeat("1000\r\n"+strings.Repeat(" ", 4096)+"\r\n", 3) + "0\r\n\r\n"), 413, ""},
		"a chunk of a bad size":           {chunked("zz\r\n" + goodBody), 400, ""},
		"a chunk beyond all":              {chunked("ffffffffffffffffff\r\n" + goodBody), 400, ""},
		"an unknown transfer coding":      {login("POST /v1/login HTTP/1.1", "Transfer-Encoding: gzip"), 501, ""},
		"a header of 32 KiB":              {login("POST /v1/login HTTP/1.1", "X-Y: "+strings.Repeat("z", 32<<10)), 431, ""},
		"many headers of 32 KiB together": {login("POST /v1/login HTTP/1.1", strings.Repeat("X-Y: z\r\n", 4<<10)+"X: y"), 431, ""},
		"a path of 32 KiB":                {login("POST /" + strings.Repeat("z", 32<<10) + " HTTP/1.1"), 431, ""},
	} {
		t.Run(name, func(t *testing.T) {
			service := allowing()
			s := serve(t, httpserver.Options{Handler: NewHandler(service)})
			got := parse(t, s.send(tc.raw))
			if got.status != tc.want || got.header.Get("Allow") != tc.wantAllow {
				t.Errorf("answered %v, want %d and Allow %q", got, tc.want, tc.wantAllow)
			}
			// What net/http refuses by itself is plain text.
			switch got.status {
			case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge:
				if got.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("answered %v, want a problem", got)
				}
			}
			isLogin := tc.want == http.StatusOK && !strings.Contains(tc.raw, "openapi")
			if attempts := len(service.asked()); (attempts == 1) != isLogin {
				t.Errorf("%d attempts", attempts)
			}
			if strings.Contains(got.body, secret) {
				t.Errorf("the answer quotes a value: %s", got.body)
			}
		})
	}
}

func TestBodyShorterThanItsLengthIsNoLogin(t *testing.T) {
	for name, raw := range map[string]string{
		"length":  strings.Replace(post(goodBody), "Content-Length: ", "Content-Length: 1", 1),
		"chunked": "POST /v1/login HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + goodBody,
	} {
		t.Run(name, func(t *testing.T) {
			service := allowing()
			s := serve(t, httpserver.Options{Handler: NewHandler(service)})
			conn := s.dial()
			if _, err := io.WriteString(conn, raw); err != nil {
				t.Fatal(err)
			}
			half, ok := conn.(*net.TCPConn)
			if !ok {
				t.Fatalf("%T has no two halves", conn)
			}
			if err := half.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, err := next(conn)
			if err != nil {
				t.Fatal(err)
			}
			if got.status != http.StatusBadRequest {
				t.Errorf("answered %v", got)
			}
			if n := len(service.asked()); n != 0 {
				t.Errorf("%d attempts", n)
			}
		})
	}
}

func TestPipelinedLoginsAreAnsweredInOrder(t *testing.T) {
	service := denying(decision.PasswordMismatch)
	s := serve(t, httpserver.Options{Handler: NewHandler(service)})
	open := strings.Replace(post(goodBody), "Connection: close\r\n", "", 1)
	all := s.send(open + open + post(goodBody))
	if got := strings.Count(all, "HTTP/1.1 401 Unauthorized\r\n"); got != 3 {
		t.Errorf("%d denials, want 3: %s", got, all)
	}
	at := 0
	for i, a := range service.asked() {
		here := strings.Index(all, a.ID)
		if here <= at {
			t.Errorf("attempt %d was answered at %d, the one before it at %d", i, here, at)
		}
		at = here
	}
}
