package historyserver

import (
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/reasontext"
)

// knownReason is the reason, or the one that stands for those that a newer sidecar knows. Stores keep a list of those
// that there are: it must not grow by what senders make up.
func knownReason(reason string) string {
	if _, known := reasontext.Of(v1alpha1.Reason(reason)); known || reason == "" {
		return reason
	}
	return string(reasontext.Other)
}

// messageOf is empty for a success.
func messageOf(reason string) string {
	text, _ := reasontext.Of(v1alpha1.Reason(reason))
	return text.English
}
