package radius

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"net/netip"
	"testing"

	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
)

// BenchmarkInterim is an interim update but for the network and what the service does.
func BenchmarkInterim(b *testing.B) {
	t := &testing.T{}
	l := newQuietLab(t)
	d := Accounting.door()
	client := l.clients().ByAddress(netip.MustParseAddr("127.0.0.1"))
	raw := account(statusInterim, "acct-1", classPrefix+"01K9ZZZZZZ0000000000000000",
		withInteger(rfc2865.NASPort_Type, 1), withInteger(rfc2865.NASPortType_Type, 5), withInteger(rfc2865.ServiceType_Type, 2),
		with(rfc2865.FramedIPAddress_Type, "\x0a\x00\x00\x07"), with(rfc2865.CallingStationID_Type, "203.0.113.9"),
		withInteger(rfc2866.AcctInputOctets_Type, 1), withInteger(rfc2866.AcctOutputOctets_Type, 1), withInteger(rfc2866.AcctSessionTime_Type, 1))
	secret := []byte(shared)
	buffer := make([]byte, 0, 4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint32(raw[len(raw)-4:], uint32(i))
		clear(raw[4:20])
		sum := md5.Sum(append(append(buffer, raw...), secret...))
		copy(raw[4:], sum[:])
		if !l.handler.receive(context.Background(), d, client, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(i)), raw, func([]byte) {}) {
			b.Fatal("refused")
		}
	}
}
