package historyserver

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
)

const (
	// maxBody bounds what is sent, maxBatchBytes what becomes of it when it is unpacked.
	maxBody       = 2 << 20
	maxBatchBytes = history.MaxBatch * history.MaxRecordBytes
	// maxBatches bounds the batches that are read or wait for the Store, maxWriters those that are unpacked and
	// written. Together they bound what senders can have in memory: 16 bodies, and three that are unpacked.
	maxBatches = 16
	maxWriters = 3
	// maxBatchesOfOne are those of one RelayServer: a sidecar that was taken over, and sends slowly whatever it can,
	// must not keep the others' records out.
	maxBatchesOfOne = 4
	// maxAhead is how far a sender's clock may be ahead. A record from the future would stay on top of every list.
	maxAhead = time.Hour
	// maxBehind is how old a record may be: as old as the longest retention of a RelayServer. Each month that there is
	// a record of has a file or a partition.
	maxBehind = 87600 * time.Hour
)

// logs is the resource accesslogs. It is there for its subresource.
type logs struct{}

var (
	_ rest.Storage              = logs{}
	_ rest.Scoper               = logs{}
	_ rest.SingularNameProvider = logs{}
)

// New is an empty log.
func (logs) New() runtime.Object { return &v1alpha1.AccessLog{} }

// Destroy has nothing to do.
func (logs) Destroy() {}

// NamespaceScoped is true: a log is where its RelayServer is.
func (logs) NamespaceScoped() bool { return true }

// GetSingularName is the name of one.
func (logs) GetSingularName() string { return "accesslog" }

// ingest is the subresource accesslogs/records, to which sidecars send records. The name in the path is the
// RelayServer's, so that RBAC can say which server somebody may write for.
type ingest struct {
	reader
	metrics *metrics
	quotas  *quotas       // of RelayServers
	batches *places       // for batches that are read or wait, by RelayServer
	writers chan struct{} // holds one for each batch that is written
}

func newIngest(r *records, q Quota) *ingest {
	return &ingest{
		reader: r.reader, metrics: r.metrics, quotas: newQuotas(q, r.now, r.log), batches: newPlaces(maxBatches, maxBatchesOfOne), writers: make(chan struct{}, maxWriters),
	}
}

var _ rest.Connecter = &ingest{}

// New is an empty log.
func (*ingest) New() runtime.Object { return &v1alpha1.AccessLog{} }

// Destroy leaves the Store to who has opened it.
func (*ingest) Destroy() {}

// NewConnectOptions is nothing: there are none.
func (*ingest) NewConnectOptions() (options runtime.Object, subpath bool, key string) {
	return nil, false, ""
}

// ConnectMethods is POST, the verb create.
func (*ingest) ConnectMethods() []string { return []string{http.MethodPost} }

// Connect serves one batch.
func (i *ingest) Connect(ctx context.Context, server string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	of := history.ServerName{Namespace: genericrequest.NamespaceValue(ctx), Name: server}
	// Whoever may write for all servers may still not make up what can be none's name: the stores keep it.
	if len(validation.IsDNS1123Label(of.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(server)) > 0 {
		return nil, apierrors.NewBadRequest("the path names no RelayServer")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := i.take(w, r, of)
		if err != nil {
			responder.Error(err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // who has gone sends again
	}), nil
}

// answer is what a sender is told when its batch is on disk.
type answer struct {
	// Kept are stored or were before, Dropped are of a forgotten user or too old.
	Kept    int       `json:"kept"`
	Dropped int       `json:"dropped"`
	Refused []refusal `json:"refused"`
}

// refusal is a record that is not kept and need not be sent again.
type refusal struct {
	Index int    `json:"index"`
	ID    string `json:"id"`
	Error string `json:"error"`
}

func (i *ingest) take(w http.ResponseWriter, r *http.Request, of history.ServerName) (*answer, error) {
	who := of.Namespace + "/" + of.Name
	if !i.batches.enter(who) {
		i.metrics.batch("busy")
		return nil, apierrors.NewTooManyRequests("too many batches of records wait to be kept", 1)
	}
	defer i.batches.leave(who)
	if err := i.quotas.open(of); err != nil {
		i.metrics.batch("over-quota")
		return nil, err
	}
	packed, err := checkMedia(r)
	if err != nil {
		i.metrics.batch("malformed")
		return nil, err
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, maxBody), maxBody, unavailable())
	if err != nil {
		i.metrics.batch("malformed")
		return nil, err
	}
	select {
	case i.writers <- struct{}{}:
		defer func() { <-i.writers }()
	case <-r.Context().Done():
		return nil, unavailable()
	}
	records, err := decode(body, packed)
	if err != nil {
		i.metrics.batch("malformed")
		return nil, err
	}
	if err := i.quotas.take(of, len(records)); err != nil {
		i.metrics.batch("over-quota")
		return nil, err
	}
	return i.put(r.Context(), records, of)
}

// checkMedia says whether the body is packed.
func checkMedia(r *http.Request) (packed bool, err error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != history.MediaType {
		return false, unsupported("Content-Type must be " + history.MediaType)
	}
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
		return false, nil
	case "gzip":
		return true, nil
	}
	return false, unsupported("Content-Encoding must be gzip or none")
}

func unsupported(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType,
		Reason: metav1.StatusReasonUnsupportedMediaType, Message: message,
	}}
}

// readAll reads at most so many bytes. A body that breaks off on the way is not the sender's fault, and is to be sent
// again; one that was packed wrongly is not.
func readAll(r io.Reader, most int64, broken error) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || err == nil && int64(len(b)) > most:
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("a batch has at most %d bytes, and %d when it is unpacked", maxBody, maxBatchBytes))
	case err != nil:
		return nil, broken
	}
	return b, nil
}

func decode(body []byte, packed bool) ([]history.Record, error) {
	if packed {
		var err error
		if body, err = unpack(body); err != nil {
			return nil, err
		}
	}
	records, err := history.Decode(body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return records, nil
}

func unpack(body []byte) ([]byte, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, apierrors.NewBadRequest("the body is not packed by gzip")
	}
	return readAll(unpacked, maxBatchBytes, apierrors.NewBadRequest("the body is packed wrongly"))
}

// put keeps those of the records that are valid. An invalid one does not take the others with it: it would be sent
// again and again, and they with it.
func (i *ingest) put(ctx context.Context, records []history.Record, of history.ServerName) (*answer, error) {
	earliest, latest := i.clocks.earliest(), i.clocks.latest()
	answer := &answer{Refused: []refusal{}}
	good := records[:0]
	for index := range records {
		record := &records[index]
		if problem := check(record, earliest, latest); problem != "" {
			answer.Refused = append(answer.Refused, refusal{Index: index, ID: record.ID.String(), Error: problem})
			continue
		}
		record.Namespace, record.Server, record.Reason = of.Namespace, of.Name, knownReason(record.Reason)
		good = append(good, *record)
	}
	start := time.Now()
	stored, err := i.keep(ctx, good)
	if err != nil {
		i.metrics.batch("failed")
		return nil, i.failed(ctx, "keep records", err)
	}
	i.metrics.put(stored, len(answer.Refused), time.Since(start))
	answer.Kept, answer.Dropped = stored.New+stored.Changed+stored.Same, stored.Dropped
	return answer, nil
}

func (i *ingest) keep(ctx context.Context, records []history.Record) (history.Stored, error) {
	if len(records) == 0 {
		return history.Stored{}, nil
	}
	return i.store.Put(ctx, records)
}

// check says why a record is none to keep. The time is between two clocks'.
func check(record *history.Record, earliest, latest time.Time) string {
	if err := record.Validate(); err != nil {
		return err.Error()
	}
	switch start, limit := record.Start(), history.At(latest.Add(maxAhead)); {
	case start > limit:
		return "clock: it began more than an hour from now"
	case max(record.EndTime, record.LastSeen) > limit: // a connection that is yet to be would count as connected time
		return "clock: it was alive more than an hour from now"
	case start < history.At(earliest.Add(-maxBehind)):
		return "clock: it began longer ago than any record is kept"
	}
	return ""
}
