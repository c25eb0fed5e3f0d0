package historyserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/storage"

	"github.com/tegata-dev/tegata/internal/history"
)

// maxToken bounds a continue token before it is decoded.
const maxToken = 4 << 10

// token is what a continue token holds. It gives no rights: which namespace is read is decided by the request, so
// whoever makes one up only chooses where a page begins.
type token struct {
	// Request is the digest of what was asked for: a token must not be taken to another list.
	Request []byte `json:"q"`
	// Version is that of the first page: all have one resourceVersion, and a watch from there misses nothing.
	Version uint64 `json:"v"`
	// Since and Until are the bounds of the first page: "2h" must not move while somebody turns pages.
	Since time.Time `json:"s,omitzero"`
	Until time.Time `json:"u,omitzero"`

	Before history.Position `json:"b,omitzero"`
	After  history.UsageKey `json:"a,omitzero"`
}

// request is the digest of what a list asks for, as it was asked for.
func request(resource, namespace string, options *metainternalversion.ListOptions) []byte {
	asked := ""
	if options.FieldSelector != nil {
		asked = options.FieldSelector.String()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", resource, namespace, asked))
	return sum[:16]
}

func (t *token) encode() (string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode a continue token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// decodeToken says with 410 what is no token of this list: a client then lists anew.
func decodeToken(s string, request []byte) (*token, error) {
	var t token
	if len(s) > maxToken {
		return nil, expiredToken("is too long")
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	switch {
	case err != nil:
		return nil, expiredToken("is none of this server's")
	case !bytes.Equal(t.Request, request):
		return nil, expiredToken("is of a list with other selectors")
	}
	return &t, nil
}

func expiredToken(why string) error {
	return apierrors.NewResourceExpired("the continue token " + why + ": list again from the beginning")
}

// pageSize is how many objects a page has at most. A list without a limit is a page too, with the token of the next.
func pageSize(options *metainternalversion.ListOptions) int {
	if options.Limit <= 0 || options.Limit > history.MaxPage {
		return history.MaxPage
	}
	return int(options.Limit)
}

// checkVersion refuses to answer as of another time than now. A version is at least as new as now is.
func checkVersion(options *metainternalversion.ListOptions, now uint64) error {
	if options.ResourceVersionMatch == metav1.ResourceVersionMatchExact {
		return apierrors.NewBadRequest("resourceVersionMatch=Exact: what was at a version is not kept, only what is")
	}
	asked, err := parseVersion(options.ResourceVersion)
	switch {
	case err != nil:
		return err
	case asked > now:
		return storage.NewTooLargeResourceVersionError(asked, now, 1)
	}
	return nil
}

func parseVersion(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	version, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion %q is none of this server's", s))
	}
	return version, nil
}

func formatVersion(version uint64) string { return strconv.FormatUint(version, 10) }
