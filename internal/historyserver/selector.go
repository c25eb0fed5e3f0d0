package historyserver

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/history"
)

// selected is what a request asks for.
type selected struct {
	history.Filter
	// ID is zero for any record.
	ID history.ID
	// never says that no object can be what is asked for.
	never bool
	// name is that of a usage; empty for any.
	name string
}

// matches says whether a record is asked for.
func (s *selected) matches(r *history.Record) bool {
	return !s.never && (s.ID == history.ID{} || s.ID == r.ID) && s.Matches(r)
}

// selectors are the fields by which objects of one kind can be selected, with how a value is understood. An error
// says what a value can be.
type selectors map[string]func(s *selected, value string, now time.Time) error

// The fields of each kind. Only what is there can be selected: a selector that is not understood must be an error,
// for a person who asks for one user's failures and gets everybody's records would not notice.
var (
	recordSelectors = selectors{
		"metadata.name":      setName,
		"metadata.namespace": setNamespace,
		"server":             text(func(s *selected) *string { return &s.Server }),
		"user":               text(func(s *selected) *string { return &s.User }),
		"userName":           text(func(s *selected) *string { return &s.UserName }),
		"program":            oneOf(func(s *selected) *string { return &s.Program }, "viewer", "client"),
		"viewer":             oneOf(func(s *selected) *string { return &s.Viewer }, "pc", "mobile", "unbound"),
		"slot":               oneOf(func(s *selected) *string { return &s.Slot }, "pc", "mobile"),
		"result":             oneOf(func(s *selected) *history.Result { return &s.Result }, history.Success, history.Failure),
		"reason":             oneOf(func(s *selected) *string { return &s.Reason }, reasonWords()...),
		"listener":           text(func(s *selected) *string { return &s.Listener }),
		"sourceAddress":      setAddress,
		"macAddress":         setMACAddress,
		"destination":        text(func(s *selected) *string { return &s.Destination }),
		"deviceDigest":       text(func(s *selected) *string { return &s.DeviceDigest }),
		"since":              moment(func(s *selected) *time.Time { return &s.Since }),
		"until":              moment(func(s *selected) *time.Time { return &s.Until }),
	}
	usageSelectors = selectors{
		"metadata.name":      setUsageName,
		"metadata.namespace": setNamespace,
		"server":             text(func(s *selected) *string { return &s.Server }),
		"user":               setUsageName,
	}
)

func reasonWords() []string {
	words := make([]string, 0, len(v1alpha1.Reasons))
	for _, reason := range v1alpha1.Reasons {
		words = append(words, string(reason))
	}
	return words
}

// check is a runtime.FieldLabelConversionFunc: it refuses a field that there is not. The library turns its error
// into 400 Bad Request.
func (f selectors) check(field, value string) (checkedField, checkedValue string, err error) {
	if _, ok := f[field]; !ok {
		return "", "", fmt.Errorf("field %q cannot be selected; there are %s", field, strings.Join(slices.Sorted(maps.Keys(f)), ", "))
	}
	return field, value, nil
}

// parse is what a request in a namespace asks for; an empty namespace is any.
func (f selectors) parse(namespace string, options *metainternalversion.ListOptions, now time.Time) (*selected, error) {
	s := &selected{Filter: history.Filter{Namespace: namespace}}
	if options == nil {
		return s, nil
	}
	if options.LabelSelector != nil && !options.LabelSelector.Empty() {
		return nil, apierrors.NewBadRequest("these objects have no labels; select fields, as in --field-selector user=taro,result=Failure")
	}
	if options.FieldSelector == nil {
		return s, nil
	}
	seen := map[string]bool{}
	for _, requirement := range options.FieldSelector.Requirements() {
		if err := f.require(s, requirement, seen, now); err != nil {
			return nil, apierrors.NewBadRequest("field selector: " + err.Error())
		}
	}
	return s, nil
}

func (f selectors) require(s *selected, requirement fields.Requirement, seen map[string]bool, now time.Time) error {
	field, value := requirement.Field, requirement.Value
	set, known := f[field]
	switch {
	case !known:
		_, _, err := f.check(field, value)
		return err
	case requirement.Operator != selection.Equals && requirement.Operator != selection.DoubleEquals:
		return fmt.Errorf("%s%s%s: only %s=VALUE can be asked for", field, requirement.Operator, value, field)
	case value == "":
		return fmt.Errorf("%s has no value", field)
	case seen[field]:
		return fmt.Errorf("%s is given twice", field)
	}
	seen[field] = true
	if err := set(s, value, now); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

func text(of func(*selected) *string) func(*selected, string, time.Time) error {
	return func(s *selected, value string, _ time.Time) error {
		*of(s) = value
		return nil
	}
}

// oneOf takes a word of a closed set, in any case.
func oneOf[T ~string](of func(*selected) *T, words ...T) func(*selected, string, time.Time) error {
	return func(s *selected, value string, _ time.Time) error {
		for _, word := range words {
			if strings.EqualFold(string(word), value) {
				*of(s) = word
				return nil
			}
		}
		return fmt.Errorf("%q is none of %v", value, words)
	}
}

func setName(s *selected, value string, _ time.Time) error {
	id, ok := parseName(value)
	s.ID, s.never = id, s.never || !ok
	return nil
}

func setUsageName(s *selected, value string, _ time.Time) error {
	s.never = s.never || s.name != "" && s.name != value
	s.name = value
	return nil
}

func setNamespace(s *selected, value string, _ time.Time) error {
	// The namespace of the request is the one that the reader may read: it stays.
	s.never = s.never || s.Namespace != "" && s.Namespace != value
	if s.Namespace == "" {
		s.Namespace = value
	}
	return nil
}

// setAddress takes any spelling of an address; records have the shortest.
func setAddress(s *selected, value string, _ time.Time) error {
	address, err := netip.ParseAddr(value)
	if err != nil {
		return fmt.Errorf("%q is no IP address", value)
	}
	s.SourceAddress = address.String()
	return nil
}

// setMACAddress takes any spelling of an address, as a RelayUser does; records have that of the sidecars.
func setMACAddress(s *selected, value string, _ time.Time) error {
	address, err := decision.ParseMAC(value)
	if err != nil {
		return fmt.Errorf("%q is no MAC address", value)
	}
	s.MACAddress = address.String()
	return nil
}

// moment takes a time, or for how long ago it is.
func moment(of func(*selected) *time.Time) func(*selected, string, time.Time) error {
	return func(s *selected, value string, now time.Time) error {
		if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
			*of(s) = t
			return nil
		}
		ago, ok := parseAgo(value)
		if !ok {
			return fmt.Errorf("%q is neither a time such as 2026-11-15T09:00:00Z nor for how long ago it is, such as 2h or 7d", value)
		}
		*of(s) = now.Add(-ago)
		return nil
	}
}

const (
	day     = 24 * time.Hour
	maxDays = 100_000
)

// parseAgo reads a duration, or days: 24 hours each, for the server does not know the reader's calendar.
func parseAgo(value string) (time.Duration, bool) {
	if number, isDays := strings.CutSuffix(value, "d"); isDays {
		days, err := strconv.ParseUint(number, 10, 32)
		return time.Duration(days) * day, err == nil && days <= maxDays //nolint:gosec // bounded beside it
	}
	ago, err := time.ParseDuration(value)
	return ago, err == nil && ago >= 0
}
