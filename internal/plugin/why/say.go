package why

import (
	"time"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// say tells a person.
func (o *options) say(s *subject, v verdict) error {
	name := screen.Clean(s.name())
	switch {
	case v.fine && s.failure == nil && o.id != "":
		return o.Terminal.Printf(o.Lang.Of("%s: that attempt succeeded.\n", "%s：この接続は成功しています。\n"), name)
	case s.failure == nil:
		if err := o.Terminal.Printf(o.Lang.Of("%s: no login has failed.\n", "%s：認証に失敗した接続はありません。\n"), name); err != nil || v.fine {
			return err
		}
		return o.next(s, v)
	}
	if err := o.sentence(name, s.failure); err != nil {
		return err
	}
	if err := o.facts(s); err != nil {
		return err
	}
	return o.next(s, v)
}

func (s *subject) name() string {
	switch {
	case s.user == nil && s.userName == "":
		return "?"
	case s.user == nil:
		return s.userName
	case s.userName == "" || s.userName == s.user.Name:
		return s.user.Name
	}
	return s.user.Name + " (" + s.userName + ")"
}

// sentence is the failure in one.
func (o *options) sentence(name string, f *v1alpha1.LoginFailure) error {
	at := o.Lang.Time(o.Local(f.LastTime.Time))
	text := o.Lang.Sprintf("%s was refused on %s: %s", "%s：%s の接続は認証に失敗しました。%s", name, at, o.Lang.Reason(f.Reason))
	return o.Terminal.Printf("%s\n", o.Terminal.Paint(screen.Bold, screen.Clean(text)))
}

// facts are what is known of it.
func (o *options) facts(s *subject) error {
	f := s.failure
	table := &screen.Table{}
	add := func(english, japanese, value string) {
		if value != "" {
			table.Cells(screen.Cell{Text: o.Lang.Of(english, japanese)}, screen.Cell{Text: value, Whole: true})
		}
	}
	add("reason", "理由", string(f.Reason))
	if f.Count > 1 {
		add("how often", "回数", o.Lang.Sprintf("%d times since %s", "%d 回（%s から）", f.Count, o.Lang.Time(o.Local(f.FirstTime.Time))))
	}
	add("program", "プログラム", o.program(f))
	add("from", "接続元アドレス", f.SourceAddress)
	add("MAC address", "MACアドレス", f.MACAddress)
	add("device", "端末", string(f.Digest))
	add("sidecar", "サイドカー", f.Sidecar)
	add("id", "照会番号", f.CorrelationID)
	return o.Terminal.Print(table, "  ")
}

func (o *options) program(f *v1alpha1.LoginFailure) string {
	switch {
	case f.Program == "":
		return ""
	case f.Slot == "":
		return string(f.Program)
	}
	return string(f.Program) + ", " + o.Lang.Slot(f.Slot)
}

// next is what to do.
func (o *options) next(s *subject, v verdict) error {
	switch {
	case v.mended:
		return o.Terminal.Printf("%s\n", o.Lang.Sprintf("%s has logged in since, on %s: there is nothing to mend.",
			"%s はその後 %s にログインしています。対処は不要です。", screen.Clean(s.name()), o.Lang.Time(o.Local(s.user.Status.LastLoginTime.Time))))
	case v.serverFirst != "":
		text := o.Lang.Sprintf("Reset nobody yet. The server %s is not ready; mend that first: %s",
			"まだ初期化しないでください。サーバ %s に問題があります：%s", s.server.Name, v.serverFirst)
		if err := o.Terminal.Printf("%s\n", screen.Clean(text)); err != nil {
			return err
		}
	default:
		if err := o.Terminal.Printf("%s\n", o.Lang.Of(v.advice.english, v.advice.japanese)); err != nil {
			return err
		}
	}
	if v.notReady != "" {
		if err := o.Terminal.Printf("\n  %s\n", screen.Clean(v.notReady)); err != nil {
			return err
		}
	}
	if v.command == "" {
		return nil
	}
	return o.Terminal.Printf("\n  %s\n", o.Terminal.Paint(screen.Bold, v.command))
}

// report is what -o json prints.
type report struct {
	User        string                 `json:"user,omitempty"`
	UserName    string                 `json:"userName,omitempty"`
	Failure     *v1alpha1.LoginFailure `json:"failure,omitempty"`
	Message     string                 `json:"message,omitempty"`
	LoggedIn    *time.Time             `json:"loggedInSince,omitempty"`
	ResetHelps  bool                   `json:"resetHelps"`
	Advice      string                 `json:"advice,omitempty"`
	Command     string                 `json:"command,omitempty"`
	ServerIsBad string                 `json:"serverProblem,omitempty"`
	NotReady    string                 `json:"userProblem,omitempty"`
}

func (v verdict) report(o *options, s *subject) report {
	r := report{
		UserName: s.userName, Failure: s.failure, ResetHelps: v.code == shell.ResetHelps,
		Advice: o.Lang.Of(v.advice.english, v.advice.japanese), Command: v.command, ServerIsBad: v.serverFirst,
		NotReady: v.notReady,
	}
	if s.user != nil {
		r.User = s.user.Name
	}
	if s.failure != nil {
		r.Message = o.Lang.Reason(s.failure.Reason)
	}
	if v.mended {
		r.LoggedIn = &s.user.Status.LastLoginTime.Time
	}
	return r
}
