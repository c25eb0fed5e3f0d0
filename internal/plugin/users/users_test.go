package users

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

// full is a user with every column.
func full() *v1alpha1.RelayUser {
	from, until := metav1.NewTime(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)), metav1.NewTime(time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC))
	return &v1alpha1.RelayUser{
		ObjectMeta: metav1.ObjectMeta{Name: "hanako", Labels: map[string]string{"team": "sales", "example.com/site": "osaka"}},
		Spec: v1alpha1.RelayUserSpec{
			ServerRef: v1alpha1.LocalReference{Name: "asp1"}, UserName: "山田花子", Type: v1alpha1.UserTypeAdministrator,
			Programs: v1alpha1.Programs{Client: true, Viewer: v1alpha1.ViewerPrograms{Unbound: true, Mobile: true, Combined: true}},
			Password: &v1alpha1.PasswordSource{SecretRef: v1alpha1.LocalReference{Name: "hanako-password"}},
			Network: v1alpha1.Network{
				Viewer: v1alpha1.NetworkLimits{AllowedCIDRs: []v1alpha1.CIDR{"192.0.2.0/24", "2001:db8::/32"}, AllowedMACs: []v1alpha1.MACAddress{"0011.22aa.bbcc"}},
				Client: v1alpha1.NetworkLimits{AllowedCIDRs: []v1alpha1.CIDR{"198.51.100.7/32"}, AllowedMACs: []v1alpha1.MACAddress{"00-11-22-AA-BB-CC", "001122aabbcc"}},
			},
			PasswordSaving: v1alpha1.PasswordSaving{Login: true, Windows: true}, Suspended: true, ValidFrom: &from, ValidUntil: &until,
			MinimumDeviceKind: v1alpha1.FingerprintProof, EndSessionsBefore: &from, Memo: "two\nlines, \"quoted\"",
		},
	}
}

func sheetOf(t *testing.T, comma rune, users ...*v1alpha1.RelayUser) []byte {
	t.Helper()
	var out bytes.Buffer
	sheet := csv.NewWriter(&out)
	sheet.Comma, sheet.UseCRLF = comma, true
	var rows [][]string
	rows = append(rows, strings.Split(columnNames(), ", "))
	for _, user := range users {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = screen.CSVField(c.get(user))
		}
		rows = append(rows, row)
	}
	if err := sheet.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestNothingIsLostInCSV holds each column that is added to both ways, and each to be of full.
func TestNothingIsLostInCSV(t *testing.T) {
	want := full()
	for _, comma := range ",;\t" {
		lines, err := parse(sheetOf(t, comma, want))
		if err != nil || len(lines) != 1 {
			t.Fatalf("%q: %d lines, %v", comma, len(lines), err)
		}
		if diff := cmp.Diff(*want, lines[0].user); diff != "" {
			t.Errorf("after CSV with %q (-want +got):\n%s", comma, diff)
		}
	}
	for _, c := range columns {
		if c.get(want) == "" {
			t.Errorf("the test does not try the column %s", c.name)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("=1+1", "'quoted", "taro")
	f.Add("a\nb\r\nc", "＝", "山田")
	f.Fuzz(func(t *testing.T, memo, label, userName string) {
		user := full()
		if setMemo(user, memo) != nil || setUserName(user, userName) != nil || userName != strings.TrimSpace(userName) {
			return
		}
		// RFC 4180 has no bare CR: it is not kept.
		if strings.Contains(memo, "\r") {
			return
		}
		for _, comma := range ",;\t" {
			lines, err := parse(sheetOf(t, comma, user))
			if err != nil || len(lines) != 1 {
				t.Fatalf("%q: %d lines, %v", comma, len(lines), err)
			}
			if diff := cmp.Diff(*user, lines[0].user); diff != "" {
				t.Errorf("after CSV with %q (-want +got):\n%s", comma, diff)
			}
		}
		_, _ = parse([]byte("name,server,memo,labels\n" + label + "," + memo)) // never a panic
	})
}

func TestDecode(t *testing.T) {
	sjis := "name\n\x8e\x52\x93\x63\n" // 山田
	tests := map[string]struct {
		file, encoding, want, err string
	}{
		"plain":                {"name\n山田\n", "utf-8", "name\n山田\n", ""},
		"a byte order mark":    {"\ufeffname\n", "utf-8", "name\n", ""},
		"Shift_JIS":            {sjis, "Shift_JIS", "name\n山田\n", ""},
		"Shift_JIS unasked":    {sjis, "utf-8", "", "give --encoding shift_jis"},
		"what Windows adds":    {"\x87\x40\n", "sjis", "①\n", ""},
		"UTF-16":               {"\xff\xfen\x00", "utf-8", "", "CSV UTF-8"},
		"UTF-8 as Shift_JIS":   {"\xff\xff\xff", "shift_jis", "", "not in shift_jis"},
		"an encoding too many": {"name\n", "latin-1", "", "must be utf-8 or shift_jis"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decode(strings.NewReader(tc.file), tc.encoding)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || string(got) != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestColumnOf(t *testing.T) {
	for field, want := range map[string]string{
		"spec.network.viewer.allowedCIDRs[3]": "viewerCIDRs", "spec.userName": "userName", "spec.programs.viewer.combined": "combined",
		".spec.memo": "memo", "metadata.labels": "labels", "metadata.name": "name", "spec.userNameless": "spec.userNameless", "": "",
	} {
		if got := columnOf(metav1.StatusCause{Field: field}); got != want {
			t.Errorf("%s is column %q, want %q", field, got, want)
		}
	}
}
