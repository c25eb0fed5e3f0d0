package authn

import "github.com/tegata-dev/tegata/internal/tracing"

// describe notes on the login's span what the log says of it.
func (l *login) describe(span tracing.Span) {
	if !span.On() {
		return
	}
	a, r := l.attempt, l.result
	span.Text("correlation_id", a.ID)
	span.Text("listener", a.Listener)
	span.Text("program", a.Program.String())
	span.Text("slot", r.Slot.String())
	span.Text("verdict", r.Verdict.String())
	span.Text("reason", r.Reason.String())
	span.Flag("enrolled", r.Enrolled)
	name := ""
	if l.account != nil {
		name = l.account.Name
	}
	span.Identity(name, a.Source)
}
