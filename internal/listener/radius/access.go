package radius

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/denial"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/tracing"
)

const (
	eapMessage = rfc2869.EAPMessage_Type
	// maxTextBytes is what one attribute holds.
	maxTextBytes = 253
	// classPrefix tells our Class from those of others: the session's id follows, a colon, and its tag.
	classPrefix = "tegata:"
)

// Why an Access-Request is refused before anybody is looked up.
var (
	errCHAP       = errors.New("CHAP cannot be checked: only hashes of passwords are kept; have the gateway use PAP")
	errMSCHAP     = errors.New("MS-CHAP cannot be checked: only hashes of passwords are kept; have the gateway use PAP")
	errEAP        = errors.New("EAP is not spoken here; have the gateway use PAP")
	errNoPassword = errors.New("there is no User-Password, or more than one")
	errHidden     = errors.New("User-Password is malformed, as it is when the gateway has another shared secret")
	errUserName   = errors.New("there is no User-Name, more than one, or one that is no UTF-8")
)

// access answers an Access-Request. Whatever a reject's cause, it is the same bytes at the same time.
func (h *Handler) access(ctx context.Context, x *exchange) {
	ctx, span := h.Tracer.Listen(ctx, tracing.SpanName(ListenerName), nil)
	defer span.End()
	id := authn.NewCorrelationID(x.arrival)
	attempt, err := h.attempt(x)
	if err != nil {
		h.refused.Info("correlationID", id, "client", x.client.Name, "problem", err.Error())
	} else {
		attempt.ID = id
		if result := h.Service.Check(ctx, attempt); result.Allowed() {
			h.accept(x, result)
			return
		}
	}
	shape := h.Service.Denial()
	if !denial.HoldBack(ctx, x.arrival, shape.ResponseTime) {
		h.drop(x, abandoned)
		return
	}
	h.answer(x, radius.CodeAccessReject, replyMessage(h.denials.Text(shape, id)), rejected)
}

// accept admits the person. The Class, which the NAS repeats in its accounting, names the session, and shows
// that this client was given it; it is no token.
func (h *Handler) accept(x *exchange, r authn.Result) {
	left := max(1, int64(time.Until(r.ExpireTime)/time.Second))
	h.Connections.begin(r.Session, x)
	h.answer(x, radius.CodeAccessAccept, radius.Attributes{
		{Type: rfc2865.SessionTimeout_Type, Attribute: radius.NewInteger(uint32(left))},
		{Type: rfc2865.Class_Type, Attribute: radius.Attribute(classPrefix + r.Session.ID + ":" + h.Service.TagSession(r.Session, x.client.Name))},
	}, accepted)
	// The session may have ended before it was known to have a connection.
	if !h.Service.ContinueSession(r.Session) {
		h.Connections.endAgain(r.Session.ID)
	}
}

// replyMessage is a text in as many attributes as it needs, cut between characters.
func replyMessage(text string) radius.Attributes {
	var attributes radius.Attributes
	for text != "" {
		end := min(len(text), maxTextBytes)
		for end < len(text) && !utf8.RuneStart(text[end]) {
			end--
		}
		attributes.Add(rfc2865.ReplyMessage_Type, radius.Attribute(text[:end]))
		text = text[end:]
	}
	return attributes
}

// attempt reads a login. Its errors quote nothing.
func (h *Handler) attempt(x *exchange) (*authn.Attempt, error) {
	switch {
	case x.has(eapMessage):
		return nil, errEAP
	case x.has(rfc2865.CHAPPassword_Type):
		return nil, errCHAP
	case x.hasVendors(vendorMicrosoft, msCHAPResponse, msCHAP2Response):
		return nil, errMSCHAP
	}
	name, ok := x.one(rfc2865.UserName_Type)
	if !ok || len(name) == 0 || !utf8.Valid(name) {
		return nil, errUserName
	}
	hidden, ok := x.one(rfc2865.UserPassword_Type)
	if !ok {
		return nil, errNoPassword
	}
	password, ok := unhide(hidden, x.client.Secret(), x.authenticator)
	if !ok || len(password) == 0 || !utf8.Valid(password) {
		return nil, errHidden
	}
	attempt := &authn.Attempt{
		Listener: ListenerName, Arrival: x.arrival, UserName: string(name), Password: password,
		Program: decision.ProgramViewer, Viewer: decision.ViewerUnknown, Destination: x.client.Name,
	}
	return attempt, h.describe(x, attempt)
}

var viewers = map[v1alpha1.ViewerKind]decision.Viewer{
	v1alpha1.ViewerPC: decision.ViewerPC, v1alpha1.ViewerMobile: decision.ViewerMobile, v1alpha1.ViewerUnbound: decision.ViewerUnbound,
}

// describe reads what the request tells of the device. What it does not tell, or not well, is as if it were not
// there: the login is denied for want of it where it is wanted, and the administrator is told.
func (h *Handler) describe(x *exchange, a *authn.Attempt) error {
	table := h.Clients()
	if table == nil {
		return errors.New("the relay has no RADIUS clients any more")
	}
	where := &table.Attributes
	viewer, ok := viewers[where.Viewer(x.value(where.Platform))]
	if !ok {
		return errors.New("the relay's attributes name no viewer")
	}
	a.Viewer = viewer
	if raw := x.value(where.Device); raw != "" {
		f, err := fingerprint.ParseOpaque(raw)
		if err != nil {
			h.complain(fmt.Sprintf("Device of an Access-Request is not taken: %v", err), x)
		} else {
			a.Fingerprint = &f
		}
	}
	if mac, err := decision.ParseMAC(x.value(where.MACAddress)); err == nil {
		a.MAC = mac
	}
	if source, err := netip.ParseAddr(strings.TrimSpace(x.value(where.SourceAddress))); err == nil {
		a.Source = source.Unmap().WithZone("")
	}
	return nil
}
