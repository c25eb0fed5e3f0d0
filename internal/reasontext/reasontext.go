// Package reasontext owns what each reason for a denial says to an administrator, in English and in Japanese: the same
// words in the access history's API and in the plugin. It knows no cluster and no language setting, and nothing of it
// may reach the person who was denied.
package reasontext

import "github.com/tegata-dev/tegata/api/v1alpha1"

// Text is what a reason says, as a whole sentence.
type Text struct{ English, Japanese string }

// Other stands in records of attempts for reasons that only a newer sidecar knows.
const Other v1alpha1.Reason = "Other"

// reasons have a text each. The Japanese ones of PasswordMismatch, DeviceNotRegistered, DeviceMismatch and
// DeviceAuthUnsupported are those that administrators know from their manual, to the letter.
var texts = map[v1alpha1.Reason]Text{
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
	Other: {
		"The attempt was denied for a reason that only a newer version knows.", "この版では表示できない理由です。"},
}

// Of is what a reason says. It is not known of one that this program does not know.
func Of(r v1alpha1.Reason) (text Text, known bool) {
	text, known = texts[r]
	return text, known
}
