package recorder

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/spool"
)

func TestRecordsArrive(t *testing.T) {
	for name, o := range map[string]spool.Options{"by the spool": spoolIn(t), "from memory": {}} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			r := run(t, s.client(), o)
			for range 5 {
				r.put(700)
				s.arrive(want(0, r.next))
			}
			r.settled()
			if sent := r.metric("tegata_history_sent_records_total", ""); sent != 3500 || r.State().Lost != 0 {
				t.Errorf("%v sent, %d lost", sent, r.State().Lost)
			}
			for _, token := range s.tokens {
				if token != "Bearer "+secret {
					t.Fatalf("sent with %q", token)
				}
			}
			if batches := len(s.sizes); batches > 25 {
				t.Errorf("%d batches", batches)
			}
		})
	}
}

// TestTroubleOfTheServer: whatever it does, when it is well again it gets all, in order.
func TestTroubleOfTheServer(t *testing.T) {
	say := func(body string) func(http.ResponseWriter, *http.Request, []history.Record) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ []history.Record) bool {
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, []history.Record) bool{
		"fails": status(500), "away": status(503), "knows nobody": status(401), "permits nothing": status(403), "not there": status(404),
		"busy": status(429), "gone elsewhere": func(w http.ResponseWriter, r *http.Request, _ []history.Record) bool {
			http.Redirect(w, r, "/stolen", http.StatusTemporaryRedirect)
			return true
		},
		"takes nothing": status(400), "too large, always": status(413), "speaks another language": status(415),
		"a page of a proxy": say("<html>"), "empty": say(""), "no count": say("{}"), "negative": say(`{"kept":-1,"dropped":101}`),
		"too few": func(w http.ResponseWriter, _ *http.Request, records []history.Record) bool {
			_, _ = fmt.Fprintf(w, `{"kept":%d}`, len(records)-1)
			return true
		},
		"refuses what is not there": say(`{"kept":99,"refused":[{"index":100}]}`),
		"refuses one twice":         say(`{"kept":98,"refused":[{"index":1},{"index":1}]}`),
		"hangs up": func(http.ResponseWriter, *http.Request, []history.Record) bool {
			panic(http.ErrAbortHandler)
		},
		"keeps, and hangs up": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			var calls atomic.Int64
			s.answers(func(w http.ResponseWriter, r *http.Request, records []history.Record) bool {
				if r.URL.Path != path {
					t.Errorf("%s was asked, with %q", r.URL.Path, r.Header.Get("Authorization"))
				}
				calls.Add(1)
				if answer == nil {
					s.keep(records)
					panic(http.ErrAbortHandler)
				}
				return answer(w, r, records)
			})
			r := run(t, s.client(), spoolIn(t))
			r.put(100)
			eventually(t, func() error {
				if calls.Load() < 3 {
					return errors.New("it is not tried again")
				}
				return nil
			})
			if state := r.State(); state.Lost != 0 || state.Waiting != 100 {
				t.Errorf("%+v", state)
			}
			s.answers(nil)
			r.put(1)
			s.arrive(want(0, 101))
			r.settled()
			if lost := r.State().Lost; lost != 0 {
				t.Errorf("%d lost", lost)
			}
		})
	}
}

// TestOneBadRecord: the server refuses every batch that it is in.
func TestOneBadRecord(t *testing.T) {
	s := newServer(t)
	bad := denied(77).ID
	s.answers(func(w http.ResponseWriter, _ *http.Request, records []history.Record) bool {
		for i := range records {
			if records[i].ID == bad {
				w.WriteHeader(http.StatusBadRequest)
				return true
			}
		}
		return false
	})
	r := run(t, s.client(), spoolIn(t))
	r.put(300)
	s.arrive(append(want(0, 77), want(78, 300)...))
	r.settled()
	if lost := r.State().Lost; lost != 1 || r.metric("tegata_history_refused_records_total", "") != 1 || r.metric("tegata_history_lost_records_total", "refused") != 1 {
		t.Errorf("%d lost", lost)
	}
	r.stop()
	if !strings.Contains(r.log(), bad.String()) {
		t.Errorf("the log does not name it: %s", r.log())
	}
}

// TestWellAgainInBetween: a server that takes nothing becomes well between a record and the question whether it takes
// anything at all. The record is not to blame.
func TestWellAgainInBetween(t *testing.T) {
	s := newServer(t)
	s.answers(func(w http.ResponseWriter, _ *http.Request, records []history.Record) bool {
		if len(records) == 1 {
			s.answer = nil // its mutex is held
		}
		w.WriteHeader(http.StatusBadRequest)
		return true
	})
	r := run(t, s.client(), spoolIn(t))
	r.put(10)
	s.arrive(want(0, 10))
	r.settled()
	if lost := r.State().Lost; lost != 0 {
		t.Errorf("%d lost", lost)
	}
}

func TestRefusedRecords(t *testing.T) {
	s := newServer(t)
	s.answers(func(w http.ResponseWriter, _ *http.Request, records []history.Record) bool {
		refused := []string{}
		for i := range records {
			if records[i].ID == denied(3).ID {
				refused = append(refused, fmt.Sprintf(`{"index":%d,"id":"x","error":"no\u001b[31m plausible time%s"}`, i, strings.Repeat("!", 1000)))
			} else {
				s.keep(records[i : i+1])
			}
		}
		_, _ = fmt.Fprintf(w, `{"kept":%d,"dropped":0,"refused":[%s]}`, len(records)-len(refused), strings.Join(refused, ","))
		return true
	})
	r := run(t, s.client(), spoolIn(t))
	r.put(10)
	s.arrive(append(want(0, 3), want(4, 10)...))
	r.settled()
	r.stop()
	if log := r.log(); r.State().Lost != 1 || !strings.Contains(log, denied(3).ID.String()) || strings.Contains(log, "\x1b") || len(log) > 2000 {
		t.Errorf("%d lost; log %s", r.State().Lost, log)
	}
}

// TestAwayForLong: what the spool takes waits, what it does not take is counted, and nobody waits for either.
func TestAwayForLong(t *testing.T) {
	for name, tc := range map[string]struct {
		o     spool.Options
		cause Cause
	}{
		"with a spool":    {spool.Options{Dir: filepath.Join(t.TempDir(), "spool"), MaxBytes: spool.MinBytes}, SpoolFull},
		"without a spool": {spool.Options{}, MemoryFull},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.answers(status(503))
			r := run(t, s.client(), tc.o)
			r.overflow(100)
			r.put(500)
			if !r.Busy() {
				t.Error("it does not say that it is full")
			}
			if state := r.State(); state.Bytes > spool.MinBytes {
				t.Errorf("%+v", state)
			}
			total := r.next
			s.answers(nil)
			r.settled()
			arrived, lost := len(s.ids()), int(r.State().Lost)
			// Of those that came when there was no room, none was kept.
			if arrived+lost != total || lost < 500 || r.metric("tegata_history_lost_records_total", string(tc.cause)) != float64(lost) {
				t.Errorf("%d arrived and %d are lost, of %d", arrived, lost, total)
			}
			if err := same(s.ids()[:1000], want(0, 1000)); err != nil {
				t.Error(err)
			}
			r.put(10)
			eventually(t, func() error {
				if got := len(s.ids()); got != arrived+10 {
					return fmt.Errorf("%d arrived, want %d", got, arrived+10)
				}
				return nil
			})
			if r.Busy() {
				t.Error("it says that it is full")
			}
		})
	}
}

// TestStartsOver: what one process could not send, the next one does.
func TestStartsOver(t *testing.T) {
	s, o := newServer(t), spoolIn(t)
	s.answers(status(503))
	first := run(t, s.client(), o)
	first.put(1500)
	eventually(t, func() error { // on disk
		if first.line.inMemory() > 0 || first.State().Waiting != 1500 {
			return fmt.Errorf("%+v", first.State())
		}
		return nil
	})
	first.stop()
	if lost := first.State().Lost; lost != 0 {
		t.Errorf("%d lost", lost)
	}
	s.answers(nil)
	second := run(t, s.client(), o)
	second.next = 1500
	second.put(10)
	s.arrive(want(0, 1510))
	second.settled()
}

// TestStop: what has come until then is sent, without a spool too; what cannot be sent is told to be lost.
func TestStop(t *testing.T) {
	s := newServer(t)
	r := run(t, s.client(), spool.Options{})
	r.put(2500)
	r.stop()
	if err := same(s.ids(), want(0, 2500)); err != nil {
		t.Error(err)
	}
	r.put(1)
	if lost := r.State().Lost; lost != 1 {
		t.Errorf("%d lost after the stop, want 1", lost)
	}
	s.answers(status(503))
	away := run(t, s.client(), spool.Options{})
	away.put(20)
	start := time.Now()
	away.stop()
	if lost := away.metric("tegata_history_lost_records_total", "stopped"); lost != 20 || time.Since(start) > grace {
		t.Errorf("%v lost, after %s", lost, time.Since(start))
	}
}

// TestServerThatHangs does not hold up a stop, and nobody who records.
func TestServerThatHangs(t *testing.T) {
	s := newServer(t)
	free := make(chan struct{})
	defer close(free)
	entered := make(chan struct{}, 1)
	s.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-free
	})
	r := run(t, s.client(), spoolIn(t))
	r.put(1)
	<-entered
	r.put(1000)
	start := time.Now()
	r.stop()
	if took := time.Since(start); took > grace*3/2 {
		t.Errorf("it stopped after %s", took)
	}
}

// TestDiskThatFails: records are sent from memory, and once the disk is well, they wait on it.
func TestDiskThatFails(t *testing.T) {
	s, o := newServer(t), spoolIn(t)
	write(t, o.Dir, []byte("this is no directory"))
	r := run(t, s.client(), o)
	r.put(2000)
	s.arrive(want(0, 2000))
	s.answers(status(503))
	r.put(500)
	if err := os.Remove(o.Dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if r.line.inMemory() > 0 || r.State().Bytes == 0 {
			return fmt.Errorf("%+v", r.State())
		}
		return nil
	})
	s.answers(nil)
	s.arrive(want(0, 2500))
	r.settled()
	r.stop()
	if log := r.log(); r.State().Lost != 0 || strings.Count(log, "cannot be written") != 1 {
		t.Errorf("%d lost; log:\n%s", r.State().Lost, log)
	}
}

// TestSpoolDeletedUnderUs: a person deletes the directory while the server is away.
func TestSpoolDeletedUnderUs(t *testing.T) {
	s, o := newServer(t), spoolIn(t)
	s.answers(status(503))
	r := run(t, s.client(), o)
	r.put(100)
	eventually(t, func() error {
		if r.State().Bytes == 0 || r.line.inMemory() > 0 {
			return errors.New("not written yet")
		}
		return nil
	})
	if err := os.RemoveAll(o.Dir); err != nil {
		t.Fatal(err)
	}
	r.put(100)
	s.answers(nil)
	s.arrive(want(0, 200))
	r.put(100)
	s.arrive(want(0, 300))
	r.settled()
}

// TestClockSteps: ages are never negative, and everything goes on.
func TestClockSteps(t *testing.T) {
	s := newServer(t)
	s.answers(status(503))
	var offset atomic.Int64
	r := &running{t: t}
	r.Recorder = New(Options{Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }, Metrics: NewMetrics(newRegistry())})
	record := denied(1)
	r.Record(&record)
	r.settle()
	for _, step := range []time.Duration{-100 * time.Hour, 100 * time.Hour, 0} {
		offset.Store(int64(step))
		if age := r.State().Age; age < 0 || (step > 0) != (age >= step-time.Minute && age > time.Minute) {
			t.Errorf("a step of %s: age %s", step, age)
		}
		r.report()
	}
}

// TestRecordCostsLittle: who logs in pays for it.
func TestRecordCostsLittle(t *testing.T) {
	r := New(Options{Metrics: NewMetrics(newRegistry())})
	record := denied(1)
	if allocs := testing.AllocsPerRun(1000, func() { r.Record(&record) }); allocs > 1 {
		t.Errorf("%v allocations", allocs)
	}
}
