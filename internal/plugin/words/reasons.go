package words

import (
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/reasontext"
)

// Reason is what a reason says, as a sentence. One that this program does not know is given by its name.
func (l Lang) Reason(r v1alpha1.Reason) string {
	text, known := reasontext.Of(r)
	if !known {
		return string(r)
	}
	return l.Of(text.English, text.Japanese)
}

// Failure is what stands in the column of results: 失敗：…
func (l Lang) Failure(r v1alpha1.Reason) string { return l.Of("Failure: ", "失敗：") + l.Reason(r) }

// Success is what stands there for an admitted login.
func (l Lang) Success() string { return l.Of("Success", "成功") }

// Slot names a slot as the manual does.
func (l Lang) Slot(s v1alpha1.Slot) string {
	switch s {
	case v1alpha1.SlotPC:
		return "PC"
	case v1alpha1.SlotMobile:
		return l.Of("Mobile", "モバイル")
	}
	return string(s)
}

// SlotState is 登録済み and the like. A slot of which status says nothing is free.
func (l Lang) SlotState(s v1alpha1.SlotState) string {
	switch s {
	case v1alpha1.SlotRegistered:
		return l.Of("Registered", "登録済み")
	case v1alpha1.SlotReserved:
		return l.Of("Reserved", "予約済み")
	case v1alpha1.SlotUnregistered, "":
		return l.Of("Unregistered", "未登録")
	}
	return string(s)
}
