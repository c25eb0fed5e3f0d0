package controllers

import (
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage is how long a condition's message may be, in bytes.
const maxMessage = 32768

// condition is what a decision says of one condition.
type condition struct {
	Type    string
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

func is(conditionType, reason, message string) condition {
	return condition{Type: conditionType, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

func isNot(conditionType, reason, message string) condition {
	return condition{Type: conditionType, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

// set writes conditions into a status. The time of transition moves only when a status changes.
func set(conditions *[]metav1.Condition, generation int64, now metav1.Time, changed ...condition) {
	for _, c := range changed {
		meta.SetStatusCondition(conditions, metav1.Condition{
			Type: c.Type, Status: c.Status, Reason: c.Reason, Message: clip(c.Message, maxMessage),
			ObservedGeneration: generation, LastTransitionTime: now,
		})
	}
}

// clip shortens a text to a number of bytes, between two characters.
func clip(text string, limit int) string {
	const mark = "…"
	if len(text) <= limit {
		return text
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}
