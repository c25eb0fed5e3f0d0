package loginbody

import (
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
)

// Admitted is the body that answers an admitted login; the listeners' openapi.yaml describe it.
type Admitted struct {
	Slot           string         `json:"slot,omitempty"`
	Enrolled       bool           `json:"enrolled"`
	PasswordSaving passwordSaving `json:"passwordSaving"`
	ExpireTime     time.Time      `json:"expireTime"`
	Session        sessionReply   `json:"session"`
	CorrelationID  string         `json:"correlationID"`
}

type passwordSaving struct {
	Login   bool `json:"login"`
	Windows bool `json:"windows"`
}

// sessionReply is what the login is good for until ExpireTime.
type sessionReply struct {
	ID    string `json:"id"`
	Token string `json:"token,omitempty"`
}

// NewAdmitted tells an admitted login. The token is empty where it is told in another way than in the body.
func NewAdmitted(result authn.Result, correlationID, token string) Admitted {
	return Admitted{
		Slot:     result.Slot.String(),
		Enrolled: result.Enrolled,
		PasswordSaving: passwordSaving{
			Login: result.PasswordSaving.Login, Windows: result.PasswordSaving.Windows,
		},
		ExpireTime:    result.ExpireTime.UTC().Truncate(time.Second),
		Session:       sessionReply{ID: result.Session.ID, Token: token},
		CorrelationID: correlationID,
	}
}
