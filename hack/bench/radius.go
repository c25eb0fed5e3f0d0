package main

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	codec "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
)

// minAccounting is the issue's bound: "RADIUS accounting: at least 0.7 of the raw UDP responder's throughput at the
// same worker count".
const minAccounting = 0.7

const (
	accountingResponse = byte(codec.CodeAccountingResponse)
	// accountingClients is how many gateways' sockets have a request under way at a time.
	accountingClients = 32
)

// measureRADIUS has the listener and a bare UDP responder take turns, in processes of their own.
func measureRADIUS(ctx context.Context, l *lab) (_ []Row, err error) {
	listener, err := l.startAccounting(ctx, childRADIUS)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, listener.stop()) }()
	floor, err := l.startAccounting(ctx, childDatagrams)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	if err := listener.login(); err != nil {
		return nil, err
	}
	for round := range scale(l, 15, 4) { // the first warms up
		for _, s := range []*accountingServer{listener, floor} {
			if err := s.ask(ctx, scale(l, time.Second, 400*time.Millisecond)); err != nil {
				return nil, err
			}
			if round == 0 {
				s.speed, s.cpu = nil, nil
			}
		}
	}
	return []Row{
		{What: "interim updates of live sessions", Unit: perSecond, Figure: Figure(median(listener.speed)), Floor: Figure(median(floor.speed)),
			CPU: Figure(median(listener.cpu)), Bound: &Bound{ofRatio, atLeast, minAccounting},
			Note: fmt.Sprintf("UDP on loopback, %d sockets with one request under way each, %d readers in either server; the floor answers each datagram by 20 bytes",
				accountingClients, radiusReaders())},
		{What: "CPU of an interim update", Unit: nanoseconds, Figure: Figure(median(listener.cpu)), Floor: Figure(median(floor.cpu))},
	}, nil
}

// accountingServer is a child, the gateways that ask it, and what it did in each of its turns.
type accountingServer struct {
	*child
	authentication string
	gateways       []*accountingGateway
	speed, cpu     []float64
}

func (l *lab) startAccounting(ctx context.Context, kind string) (*accountingServer, error) {
	c, err := l.startChild(ctx, kind)
	if err != nil {
		return nil, err
	}
	s := &accountingServer{child: c}
	var accounting string
	s.authentication, accounting, _ = strings.Cut(c.address, " ")
	for i := range accountingClients {
		conn, err := net.Dial("udp", accounting)
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.gateways = append(s.gateways, &accountingGateway{conn: conn, request: interimUpdate(i, ""), buffer: make([]byte, 4096)})
	}
	return s, nil
}

func (s *accountingServer) stop() error {
	var err error
	for _, g := range s.gateways {
		err = errors.Join(err, g.conn.Close())
	}
	return errors.Join(err, s.child.stop())
}

// login begins a session for each gateway to tell of.
func (s *accountingServer) login() error {
	for i, g := range s.gateways {
		class, err := radiusLogin(s.authentication, i)
		if err != nil {
			return err
		}
		g.request = interimUpdate(i, class)
	}
	return nil
}

// ask takes one turn.
func (s *accountingServer) ask(ctx context.Context, d time.Duration) error {
	got, cost, err := costedLoop(ctx, s.pid(), len(s.gateways), d, func(_ context.Context, worker, _ int) error {
		return s.gateways[worker].tell()
	})
	if err != nil {
		return err
	}
	s.speed = append(s.speed, got.perSecond())
	s.cpu = append(s.cpu, float64(cost))
	return nil
}

// accountingGateway tells of one session, each time another request.
type accountingGateway struct {
	conn    net.Conn
	request []byte
	told    uint32
	buffer  []byte
}

// tell sends a request that was not sent before, or its answer would be one that is remembered.
func (g *accountingGateway) tell() error {
	g.told++
	g.request[1] = byte(g.told)
	binary.BigEndian.PutUint32(g.request[len(g.request)-4:], g.told) // its Acct-Session-Time
	clear(g.request[4:20])
	hash := md5.New()
	hash.Write(g.request)
	hash.Write([]byte(radiusSecret))
	hash.Sum(g.request[4:4:20])
	if _, err := g.conn.Write(g.request); err != nil {
		return err
	}
	if g.told%1024 == 1 { // a deadline costs as much as a packet
		_ = g.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	}
	n, err := g.conn.Read(g.buffer)
	if err != nil {
		return err
	}
	if n != accountingReplyBytes || g.buffer[0] != accountingResponse || g.buffer[1] != g.request[1] {
		return fmt.Errorf("accounting was answered by %x", g.buffer[:n])
	}
	return nil
}

// interimUpdate is what a gateway tells of a connection, with the time at its end.
func interimUpdate(i int, class string) []byte {
	p := codec.New(codec.CodeAccountingRequest, []byte(radiusSecret))
	for _, a := range []struct {
		t     codec.Type
		value codec.Attribute
	}{
		{rfc2866.AcctStatusType_Type, codec.NewInteger(uint32(rfc2866.AcctStatusType_Value_InterimUpdate))},
		{rfc2865.UserName_Type, codec.Attribute(userName(i))},
		{rfc2865.NASIdentifier_Type, codec.Attribute("bench")},
		{rfc2865.NASPort_Type, codec.NewInteger(uint32(i))},
		{rfc2865.NASPortType_Type, codec.NewInteger(5)},
		{rfc2865.ServiceType_Type, codec.NewInteger(2)},
		{rfc2865.FramedProtocol_Type, codec.NewInteger(1)},
		{rfc2865.FramedIPAddress_Type, codec.Attribute{10, 0, 0, byte(i)}},
		{rfc2865.CallingStationID_Type, codec.Attribute("203.0.113.9")},
		{rfc2866.AcctSessionID_Type, codec.Attribute(fmt.Sprintf("session-%d", i))},
		{rfc2866.AcctInputOctets_Type, codec.NewInteger(123456)},
		{rfc2866.AcctOutputOctets_Type, codec.NewInteger(654321)},
		{rfc2869.EventTimestamp_Type, codec.NewInteger(uint32(time.Now().Unix()))},
		{rfc2865.Class_Type, codec.Attribute(class)},
		{rfc2866.AcctSessionTime_Type, codec.NewInteger(0)},
	} {
		p.Add(a.t, a.value)
	}
	raw, err := p.MarshalBinary()
	if err != nil {
		panic(err) // it is short
	}
	return raw
}

// radiusLogin logs a user in and returns the Class that the accounting repeats.
func radiusLogin(address string, i int) (string, error) {
	p := codec.New(codec.CodeAccessRequest, []byte(radiusSecret))
	password, err := codec.NewUserPassword([]byte(childPassword), p.Secret, p.Authenticator[:])
	if err != nil {
		return "", err
	}
	pair := "mdm-tlv=device-uid=" + deviceOf(i)
	device, err := codec.NewVendorSpecific(9, append(codec.Attribute{1, byte(2 + len(pair))}, pair...))
	if err != nil {
		return "", err
	}
	p.Add(rfc2865.UserName_Type, codec.Attribute(userName(i)))
	p.Add(rfc2865.UserPassword_Type, password)
	p.Add(rfc2865.NASIdentifier_Type, codec.Attribute("bench"))
	p.Add(rfc2865.VendorSpecific_Type, device)
	p.Add(rfc2865.CallingStationID_Type, codec.Attribute("127.0.0.1"))
	p.Add(rfc2869.MessageAuthenticator_Type, make(codec.Attribute, md5.Size))
	raw, err := p.MarshalBinary()
	if err != nil {
		return "", err
	}
	mac := hmac.New(md5.New, p.Secret)
	mac.Write(raw)
	mac.Sum(raw[len(raw)-md5.Size : len(raw)-md5.Size])
	conn, err := net.Dial("udp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing more is expected of it
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(raw); err != nil {
		return "", err
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		return "", err
	}
	reply, err := codec.Parse(buffer[:n], p.Secret)
	if err != nil || reply.Code != codec.CodeAccessAccept {
		return "", fmt.Errorf("login of %s was answered %v, %w", userName(i), reply, err)
	}
	return rfc2865.Class_GetString(reply), nil
}
