package users

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/loginname"
)

// column is one of the CSV. An empty field leaves what the API has as its default.
type column struct {
	name string
	// set reads a field that is not empty; get writes it.
	set func(user *v1alpha1.RelayUser, field string) error
	get func(user *v1alpha1.RelayUser) string
}

type userOf = func(*v1alpha1.RelayUser) *bool

// columns are in the order in which they are exported.
var columns = []column{
	{"name", setName, func(u *v1alpha1.RelayUser) string { return u.Name }},
	{"server", setServer, func(u *v1alpha1.RelayUser) string { return u.Spec.ServerRef.Name }},
	{"userName", setUserName, func(u *v1alpha1.RelayUser) string { return u.Spec.UserName }},
	{"type", setType, getType},
	flag("mobile", func(u *v1alpha1.RelayUser) *bool { return &u.Spec.Programs.Viewer.Mobile }),
	flag("combined", func(u *v1alpha1.RelayUser) *bool { return &u.Spec.Programs.Viewer.Combined }),
	flag("unbound", func(u *v1alpha1.RelayUser) *bool { return &u.Spec.Programs.Viewer.Unbound }),
	flag("client", func(u *v1alpha1.RelayUser) *bool { return &u.Spec.Programs.Client }),
	{"passwordSecret", setPasswordSecret, getPasswordSecret},
	cidrs("viewerCIDRs", func(u *v1alpha1.RelayUser) *v1alpha1.NetworkLimits { return &u.Spec.Network.Viewer }),
	macs("viewerMACs", func(u *v1alpha1.RelayUser) *v1alpha1.NetworkLimits { return &u.Spec.Network.Viewer }),
	cidrs("clientCIDRs", func(u *v1alpha1.RelayUser) *v1alpha1.NetworkLimits { return &u.Spec.Network.Client }),
	macs("clientMACs", func(u *v1alpha1.RelayUser) *v1alpha1.NetworkLimits { return &u.Spec.Network.Client }),
	flag("saveLogin", func(u *v1alpha1.RelayUser) *bool { return &u.Spec.PasswordSaving.Login }),
	flag("saveWindows", func(u *v1alpha1.RelayUser) *bool { return &u.Spec.PasswordSaving.Windows }),
	flag("suspended", func(u *v1alpha1.RelayUser) *bool { return &u.Spec.Suspended }),
	moment("validFrom", func(u *v1alpha1.RelayUser) **metav1.Time { return &u.Spec.ValidFrom }),
	moment("validUntil", func(u *v1alpha1.RelayUser) **metav1.Time { return &u.Spec.ValidUntil }),
	{"minimumDeviceKind", setKind, func(u *v1alpha1.RelayUser) string { return string(u.Spec.MinimumDeviceKind) }},
	moment("endSessionsBefore", func(u *v1alpha1.RelayUser) **metav1.Time { return &u.Spec.EndSessionsBefore }),
	{"memo", setMemo, func(u *v1alpha1.RelayUser) string { return u.Spec.Memo }},
	{"labels", setLabels, func(u *v1alpha1.RelayUser) string { return labels.Set(u.Labels).String() }},
}

// columnNamed finds a column; letter case does not matter.
func columnNamed(name string) *column {
	at := slices.IndexFunc(columns, func(c column) bool { return strings.EqualFold(c.name, name) })
	if at < 0 {
		return nil
	}
	return &columns[at]
}

func setName(u *v1alpha1.RelayUser, field string) error {
	if problems := validation.IsDNS1123Subdomain(field); len(problems) > 0 || len(field) > 128 {
		return fmt.Errorf("%q is no name of an object: lower case letters, digits, '-' and '.', at most 128; the login name goes into userName", field)
	}
	u.Name = field
	return nil
}

func setServer(u *v1alpha1.RelayUser, field string) error {
	if len(validation.IsDNS1123Label(field)) > 0 {
		return fmt.Errorf("%q is no name of a RelayServer", field)
	}
	u.Spec.ServerRef.Name = field
	return nil
}

func setUserName(u *v1alpha1.RelayUser, field string) error {
	if _, err := loginname.Normalize(field); err != nil {
		return fmt.Errorf("%q cannot be a login name: %w", field, err)
	}
	u.Spec.UserName = field
	return nil
}

func setType(u *v1alpha1.RelayUser, field string) error {
	for _, t := range []v1alpha1.UserType{v1alpha1.UserTypeGeneral, v1alpha1.UserTypeAdministrator} {
		if strings.EqualFold(field, string(t)) {
			u.Spec.Type = t
			return nil
		}
	}
	return fmt.Errorf("%q must be General or Administrator", field)
}

// getType leaves the default out: it would be kept as if somebody had chosen it.
func getType(u *v1alpha1.RelayUser) string {
	if u.Spec.Type == v1alpha1.UserTypeGeneral {
		return ""
	}
	return string(u.Spec.Type)
}

func setPasswordSecret(u *v1alpha1.RelayUser, field string) error {
	if len(validation.IsDNS1123Subdomain(field)) > 0 {
		return errors.New("it is no name of a Secret; the password itself must not be in this file: kubectl relay passwd sets it")
	}
	u.Spec.Password = &v1alpha1.PasswordSource{SecretRef: v1alpha1.LocalReference{Name: field}}
	return nil
}

func getPasswordSecret(u *v1alpha1.RelayUser) string {
	if u.Spec.Password == nil {
		return ""
	}
	return u.Spec.Password.SecretRef.Name
}

func setKind(u *v1alpha1.RelayUser, field string) error {
	for _, kind := range []v1alpha1.FingerprintKind{v1alpha1.FingerprintOpaque, v1alpha1.FingerprintCertificate, v1alpha1.FingerprintProof} {
		if strings.EqualFold(field, string(kind)) {
			u.Spec.MinimumDeviceKind = kind
			return nil
		}
	}
	return fmt.Errorf("%q must be Opaque, Certificate or Proof", field)
}

func setMemo(u *v1alpha1.RelayUser, field string) error {
	if utf8.RuneCountInString(field) > 1024 {
		return errors.New("it is longer than 1024 characters")
	}
	u.Spec.Memo = field
	return nil
}

func setLabels(u *v1alpha1.RelayUser, field string) error {
	set, err := labels.ConvertSelectorToLabelsMap(field)
	if err != nil {
		return fmt.Errorf("%q must be labels such as team=sales,site=osaka: %w", field, err)
	}
	u.Labels = set
	return nil
}

func flag(name string, of userOf) column {
	return column{name,
		func(u *v1alpha1.RelayUser, field string) error {
			switch strings.ToLower(field) {
			case "true", "yes", "1", "○":
				*of(u) = true
			case "false", "no", "0", "×":
			default:
				return fmt.Errorf("%q must be true or false", field)
			}
			return nil
		},
		func(u *v1alpha1.RelayUser) string {
			if *of(u) {
				return "true"
			}
			return ""
		},
	}
}

func moment(name string, of func(*v1alpha1.RelayUser) **metav1.Time) column {
	return column{name,
		func(u *v1alpha1.RelayUser, field string) error {
			at, err := time.Parse(time.RFC3339, field)
			if err != nil {
				return fmt.Errorf("%q must be a time with its offset, such as 2027-04-01T00:00:00+09:00", field)
			}
			t := metav1.NewTime(at)
			*of(u) = &t
			return nil
		},
		func(u *v1alpha1.RelayUser) string {
			if *of(u) == nil {
				return ""
			}
			return (*of(u)).UTC().Format(time.RFC3339)
		},
	}
}

type limitsOf = func(*v1alpha1.RelayUser) *v1alpha1.NetworkLimits

func cidrs(name string, of limitsOf) column {
	return column{name,
		func(u *v1alpha1.RelayUser, field string) error {
			for _, word := range items(field) {
				prefix, err := netip.ParsePrefix(word)
				if err != nil || prefix != prefix.Masked() {
					return fmt.Errorf("%q must be a network such as 192.0.2.0/24, with no bits set after the prefix", word)
				}
				if cidr := v1alpha1.CIDR(word); !slices.Contains(of(u).AllowedCIDRs, cidr) {
					of(u).AllowedCIDRs = append(of(u).AllowedCIDRs, cidr)
				}
			}
			return nil
		},
		func(u *v1alpha1.RelayUser) string { return joined(of(u).AllowedCIDRs) },
	}
}

func macs(name string, of limitsOf) column {
	return column{name,
		func(u *v1alpha1.RelayUser, field string) error {
			for _, word := range items(field) {
				if parsed, err := net.ParseMAC(word); (err != nil || len(parsed) != 6) && !isBareMAC(word) {
					return fmt.Errorf("%q must be a MAC address such as 00:11:22:aa:bb:cc", word)
				}
				if mac := v1alpha1.MACAddress(word); !slices.Contains(of(u).AllowedMACs, mac) {
					of(u).AllowedMACs = append(of(u).AllowedMACs, mac)
				}
			}
			return nil
		},
		func(u *v1alpha1.RelayUser) string { return joined(of(u).AllowedMACs) },
	}
}

func isBareMAC(word string) bool {
	return len(word) == 12 && strings.Trim(word, "0123456789abcdefABCDEF") == ""
}

// items are those of a list, between spaces, semicolons or line breaks, as people do in a cell.
func items(field string) []string {
	return strings.FieldsFunc(field, func(r rune) bool { return strings.ContainsRune(" ;\t\r\n　", r) })
}

func joined[T ~string](values []T) string {
	all := make([]string, len(values))
	for i, value := range values {
		all[i] = string(value)
	}
	return strings.Join(all, " ")
}
