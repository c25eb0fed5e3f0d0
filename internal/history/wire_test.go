package history

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func failed() Record {
	return Record{
		ID: idAt(began), User: "taro", Program: "viewer", Viewer: "mobile", Slot: "mobile", Result: Failure,
		Reason: "DeviceMismatch", SourceAddress: "2001:db8::1", MACAddress: "00:00:5E:00:53:01", Listener: "radius",
		DeviceDigest: "k1:abc",
	}
}

func encode(t *testing.T, records ...Record) []byte {
	t.Helper()
	var b []byte
	for i := range records {
		var err error
		if b, err = Append(b, &records[i]); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestRecordsComeBackAsSent(t *testing.T) {
	want := []Record{login(), failed()}
	got, err := Decode(encode(t, want...))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, records (-want +got):\n%s", err, diff)
	}
	if none, err := Decode(nil); len(none) != 0 || err != nil {
		t.Errorf("nothing: got %v, %v", none, err)
	}
}

func TestNamesOfOthersAreNotSent(t *testing.T) {
	r := login()
	r.Namespace, r.Server = "elsewhere", "theirs"
	if b := encode(t, r); bytes.Contains(b, []byte("elsewhere")) || bytes.Contains(b, []byte("theirs")) {
		t.Errorf("%q names a server", b)
	}
}

func TestHostileSequencesAreRefused(t *testing.T) {
	whole := encode(t, login())
	many := bytes.Repeat(whole, MaxBatch+1)
	tests := map[string][]byte{
		"cut off":       whole[:len(whole)-1],
		"not a map":     {0x01},
		"endless map":   {0xbf, 0xff},
		"two of a key":  {0xa2, 0x08, 0x61, 'a', 0x08, 0x61, 'b'},
		"too many":      many,
		"deeply nested": bytes.Repeat([]byte{0x81}, 100),
		"huge map":      {0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"huge text":     {0xa1, 0x03, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"not UTF-8":     {0xa1, 0x03, 0x61, 0xff},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode(b); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(r *Record)
		want   string // in the error; empty for none
	}{
		"a login":            {func(*Record) {}, ""},
		"a failure":          {func(r *Record) { *r = failed() }, ""},
		"no time":            {func(r *Record) { r.ID = ID{} }, "no time"},
		"no result":          {func(r *Record) { r.Result = "" }, "result"},
		"success and reason": {func(r *Record) { r.Reason = "DeviceMismatch" }, "reason"},
		"failure that lasts": {func(r *Record) { *r = failed(); r.LastSeen = after(time.Second) }, "no connection"},
		"no expiry":          {func(r *Record) { r.Expire = 0 }, "until before"},
		"end without time":   {func(r *Record) { r.End = Logout }, "end has a time"},
		"told to be lost":    {func(r *Record) { r.End, r.EndTime = Lost, after(time.Second) }, "none of those"},
		"a year long":        {func(r *Record) { r.Expire = after(366 * 24 * time.Hour) }, "plausible"},
		"unheard-of slot":    {func(r *Record) { r.Slot = "tv" }, "none of those"},
		"word with markup":   {func(r *Record) { r.Listener = "<b>" }, "word"},
		"two lines":          {func(r *Record) { r.UserName = "a\nb" }, "one line"},
		"terminal codes":     {func(r *Record) { r.Destination = "\x1b[31m" }, "one line"},
		"C1 control":         {func(r *Record) { r.Destination = "\u009b31m" }, "one line"},
		"not UTF-8":          {func(r *Record) { r.UserName = "\xff" }, "UTF-8"},
		"long name":          {func(r *Record) { r.UserName = strings.Repeat("a", 513) }, "too long"},
		"markup for a user":  {func(r *Record) { r.User = "../taro" }, "name of an object"},
		"a wide user":        {func(r *Record) { r.User = "太郎" }, "name of an object"},
		"an address's zone":  {func(r *Record) { r.SourceAddress = "fe80::1%eth0" }, ""},
		"a zone of codes":    {func(r *Record) { r.SourceAddress = "fe80::1%\x1b[31m" }, "IP address"},
		"a zone with NUL":    {func(r *Record) { r.SourceAddress = "fe80::1%\x00" }, "IP address"},
		"a zone of two":      {func(r *Record) { r.SourceAddress = "fe80::1%a\nb" }, "IP address"},
		"an endless zone":    {func(r *Record) { r.SourceAddress = "fe80::1%" + strings.Repeat("a", 4000) }, "IP address"},
		"no address":         {func(r *Record) { r.SourceAddress = "here" }, "IP address"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := login()
			tc.change(&r)
			err := r.Validate()
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []Record{login(), failed()} {
		b, err := Append(nil, &r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := Decode(b)
		if err != nil {
			return
		}
		for i := range records {
			if records[i].Validate() != nil {
				continue
			}
			again, err := Append(nil, &records[i])
			if err != nil {
				t.Fatalf("a valid record is not encoded: %v", err)
			}
			back, err := Decode(again)
			if err != nil || len(back) != 1 || back[0] != records[i] {
				t.Fatalf("got %+v, %v of %+v", back, err, records[i])
			}
		}
	})
}
