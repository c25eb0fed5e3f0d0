package words

import "github.com/tegata-dev/tegata/api/v1alpha1"

// text is what a reason says, as a whole sentence.
type text struct{ english, japanese string }

// reasons have a text each. The Japanese ones of PasswordMismatch, DeviceNotRegistered, DeviceMismatch and
// DeviceAuthUnsupported are those that administrators know from their manual, to the letter.
var reasons = map[v1alpha1.Reason]text{
	v1alpha1.ReasonUnknownUser: {
		"Nobody on this server has that login name.", "このユーザ名のユーザは登録されていません。"},
	v1alpha1.ReasonPasswordMismatch: {
		"The password that was sent is not the one that the server has.",
		"MCビューアから送信されたパスワードと、サーバに登録されているパスワードが異なります。"},
	v1alpha1.ReasonUserSuspended: {
		"The user is suspended.", "ユーザは利用停止中です。"},
	v1alpha1.ReasonOutsideValidity: {
		"The time is outside the user's validity.", "ユーザの有効期間外です。"},
	v1alpha1.ReasonAdministratorNotPermitted: {
		"An Administrator account cannot be used for remote access.", "管理者アカウントではリモート接続できません。"},
	v1alpha1.ReasonProgramNotPermitted: {
		"The user may not use this program.", "このプログラムの利用はユーザ管理により許可されていません。"},
	v1alpha1.ReasonSourceAddressDenied: {
		"Connections from this address are not permitted.", "接続元IPアドレスからの接続は許可されていません。"},
	v1alpha1.ReasonMACAddressDenied: {
		"Connections from this MAC address are not permitted.", "接続元MACアドレスからの接続は許可されていません。"},
	v1alpha1.ReasonDeviceAuthUnsupported: {
		"Connections from viewers without device authentication are not permitted.",
		"端末認証対応ではない MC ビューアからの接続はユーザ管理により許可されていません。"},
	v1alpha1.ReasonDeviceProofInvalid: {
		"What the device showed to prove itself does not hold.", "端末の証明を確認できませんでした。"},
	v1alpha1.ReasonDeviceKindNotPermitted: {
		"The device identified itself by something weaker than is permitted.", "この端末認証方式は許可されていません。"},
	v1alpha1.ReasonSlotNotPermitted: {
		"The user may have one device in all, and another one is registered.",
		"利用できる端末は1台のみで、別の端末が登録されています。"},
	v1alpha1.ReasonDeviceRevoked: {
		"This device was removed by a reset.", "この端末は初期化により登録が解除されています。"},
	v1alpha1.ReasonDeviceMismatch: {
		"The device is another one than the server has registered.",
		"サーバに登録されている端末認証情報と接続元端末の当該情報が異なるので接続できません。"},
	v1alpha1.ReasonDeviceNotRegistered: {
		"The device is not registered.", "端末認証情報が登録されていません。"},
	v1alpha1.ReasonThrottled: {
		"There were too many wrong passwords; this attempt was not checked.",
		"認証の失敗が多すぎるため、この接続は確認されませんでした。"},
	v1alpha1.ReasonServerUnavailable: {
		"The server could not decide.", "サーバが一時的に利用できませんでした。"},
	v1alpha1.ReasonSessionInvalid: {
		"What was shown as a session is none of this server's.", "セッションが無効です。"},
	v1alpha1.ReasonSessionExpired: {
		"The session's time is over.", "セッションの有効期限が切れています。"},
	v1alpha1.ReasonSessionEnded: {
		"The session was ended.", "セッションは終了しています。"},
}

// Reason is what a reason says, as a sentence. One that this program does not know is given by its name.
func (l Lang) Reason(r v1alpha1.Reason) string {
	t, known := reasons[r]
	if !known {
		return string(r)
	}
	return l.Of(t.english, t.japanese)
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
