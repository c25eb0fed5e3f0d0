package why

import (
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// remedy is what mends a failure of a user, by its reason.
func (s *subject) remedy() verdict {
	switch s.failure.Reason {
	case v1alpha1.ReasonDeviceMismatch, v1alpha1.ReasonDeviceAuthUnsupported, v1alpha1.ReasonDeviceRevoked,
		v1alpha1.ReasonDeviceNotRegistered, v1alpha1.ReasonSlotNotPermitted, v1alpha1.ReasonDeviceKindNotPermitted:
		return s.remedyOfDevice()
	case v1alpha1.ReasonSourceAddressDenied, v1alpha1.ReasonMACAddressDenied:
		return s.remedyOfNetwork()
	}
	v := s.remedyOfAccount()
	v.code = shell.SomethingElseHelps
	return v
}

// remedyOfDevice is about which device may log in.
func (s *subject) remedyOfDevice() verdict {
	var v verdict
	switch s.failure.Reason {
	case v1alpha1.ReasonDeviceMismatch:
		v = s.afterReset(s.slot())
	case v1alpha1.ReasonDeviceAuthUnsupported:
		v = s.afterReset(s.boundSlots()...)
		if v.command == "" && !s.resetSince(v1alpha1.SlotPC, v1alpha1.SlotMobile) {
			v = verdict{command: s.patch(`{"spec":{"programs":{"viewer":{"unbound":true}}}}`), advice: advice{
				"No reset helps: no device is registered. Have the viewer updated, or permit viewers without device authentication:",
				"初期化では解消しません。ビューアを更新するか、端末認証なしのビューアを許可してください。"}}
		}
	case v1alpha1.ReasonSlotNotPermitted:
		v = s.reset("", s.otherSlots()...)
		v.advice = advice{"A reset helps, of the device that is registered. To permit both: " + s.patch(`{"spec":{"programs":{"viewer":{"combined":true}}}}`),
			"登録済みの端末を初期化すると解消します。併用を許可する場合：" + s.patch(`{"spec":{"programs":{"viewer":{"combined":true}}}}`)}
	case v1alpha1.ReasonDeviceKindNotPermitted:
		v = s.reset("", s.slot())
		v.advice = advice{"The device has to prove itself (docs/devices.md). If the slot holds a weaker one, a reset helps then:",
			"端末の認証方式を変更する必要があります (docs/devices.md)。そのうえで初期化してください。"}
	default: // a removed device, or one to which registration is not open: it has to be named
		v = s.reset(s.digest(), s.slot())
		v.advice = advice{"A reset that names this device helps, if it is the person's:",
			"この端末が本人のものであれば、端末を指定した初期化で解消します。"}
		if s.digest() == "" {
			v = verdict{advice: advice{"The failure does not say which device it was: have the person try again.",
				"端末を特定できません。もう一度ログインを試みてもらってください。"}}
		}
	}
	if v.code == shell.Done {
		v.code = shell.SomethingElseHelps
	}
	return v
}

// afterReset is a reset of the slots that hold a device, unless one came after the failure.
func (s *subject) afterReset(slots ...v1alpha1.Slot) verdict {
	var bound []v1alpha1.Slot
	for _, slot := range slots {
		if s.isBound(slot) {
			bound = append(bound, slot)
		}
	}
	if s.resetSince(slots...) || len(bound) == 0 {
		return verdict{advice: advice{"The slot has been freed since: have the person log in again.",
			"端末認証情報はその後初期化されています。もう一度ログインしてもらってください。"}}
	}
	v := s.reset("", bound...)
	v.advice = advice{"A reset helps. Make sure that the attempt was the person's (compare the id), then:",
		"初期化で解消します。照会番号で本人の接続であることを確認してから実行してください。"}
	return v
}

// otherSlots are those that are in the way.
func (s *subject) otherSlots() []v1alpha1.Slot {
	if bound := s.boundSlots(); len(bound) > 0 {
		return bound
	}
	return []v1alpha1.Slot{v1alpha1.SlotPC, v1alpha1.SlotMobile}
}

func (s *subject) remedyOfNetwork() verdict {
	list, value := "allowedCIDRs", s.network()
	if s.failure.Reason == v1alpha1.ReasonMACAddressDenied {
		list, value = "allowedMACs", s.mac()
	}
	v := verdict{code: shell.SomethingElseHelps, advice: advice{
		"No reset helps. If the person may connect from there, permit it (and check trustedProxies of the RelayServer):",
		"初期化では解消しません。この接続元を許可する場合（RelayServer の trustedProxies も確認してください）："}}
	if value == "" {
		v.command = "kubectl edit relayuser " + s.user.Name
		return v
	}
	v.command = "kubectl patch relayuser " + s.user.Name + ` --type=json -p '[{"op":"add","path":"/spec/network/` + s.program() + "/" + list +
		`/-","value":"` + value + `"}]'`
	return v
}

// remedyOfAccount is about the person's account. No reset helps with any of it.
func (s *subject) remedyOfAccount() verdict {
	noReset := func(english, japanese, command string) verdict {
		return verdict{advice: advice{"No reset helps. " + english, "初期化では解消しません。" + japanese}, command: command}
	}
	name := s.user.Name
	switch s.failure.Reason {
	case v1alpha1.ReasonPasswordMismatch:
		return noReset("If the person has forgotten the password, set another:", "パスワードを忘れた場合は、再設定してください。", "kubectl relay passwd "+name)
	case v1alpha1.ReasonUserSuspended:
		if !s.user.Spec.Suspended {
			return verdict{advice: advice{"The user has been resumed since: have the person log in again.",
				"利用はその後再開されています。もう一度ログインしてもらってください。"}}
		}
		return noReset("To let the person in again:", "利用を再開する場合：", "kubectl relay resume "+name)
	case v1alpha1.ReasonOutsideValidity:
		return noReset("To lift the limits of time:", "有効期間の制限を解除する場合：", s.patch(`{"spec":{"validFrom":null,"validUntil":null}}`))
	case v1alpha1.ReasonAdministratorNotPermitted:
		return noReset("Use a General account, or make this one General:", "一般ユーザのアカウントを使うか、一般ユーザに変更してください。", s.patch(`{"spec":{"type":"General"}}`))
	case v1alpha1.ReasonProgramNotPermitted:
		programs := `{"viewer":{"mobile":true}}`
		if s.failure.Program == v1alpha1.ProgramClient {
			programs = `{"client":true}`
		}
		return noReset("To permit the program:", "このプログラムの利用を許可する場合：", s.patch(`{"spec":{"programs":`+programs+`}}`))
	case v1alpha1.ReasonDeviceProofInvalid:
		return noReset("The sidecar's log says what does not hold (unproven).", "サイドカーのログで理由を確認してください (unproven)。", s.log())
	case v1alpha1.ReasonThrottled:
		return noReset("Wait a minute, and look from where the wrong passwords come:", "しばらく待ってから、失敗した接続元を確認してください。", "kubectl relay history "+name+" --result failure")
	case v1alpha1.ReasonServerUnavailable:
		return noReset("Look at the server:", "サーバの状態を確認してください。", "kubectl relay doctor")
	}
	return noReset("docs/operations.md has what does.", "docs/operations.md を参照してください。", "")
}

func (s *subject) patch(patch string) string {
	return "kubectl patch relayuser " + s.user.Name + " --type=merge -p '" + patch + "'"
}

func (s *subject) log() string {
	if s.sidecar() == "" || !isPlain(s.failure.CorrelationID) || s.failure.CorrelationID == "" {
		return ""
	}
	return "kubectl logs --all-containers " + s.sidecar() + " --since-time=" + s.failure.FirstTime.UTC().Format("2006-01-02T15:04:05Z")
}
