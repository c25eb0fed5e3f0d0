package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/listener/radius"
	"github.com/tegata-dev/tegata/internal/nas"
)

const (
	// childRADIUS is the RADIUS listener with all that is behind it but the password hash.
	childRADIUS = "radius"
	// childDatagrams answers each datagram by one as long as the reply to accounting.
	childDatagrams = "datagrams"

	// radiusSecret is shared with the clients of childRADIUS. It guards nothing.
	radiusSecret = "shared with nobody in particular"
	// accountingReplyBytes is how long a reply is: a header and nothing else.
	accountingReplyBytes = 20
)

// radiusReaders is how many goroutines read a socket, of either server.
func radiusReaders() int { return max(2, runtime.GOMAXPROCS(0)) }

// runRADIUS tells the addresses of authentication and accounting, and serves until standard input ends.
func runRADIUS(ctx context.Context) error {
	ctx, cancel := untilEOF(ctx)
	defer cancel()
	_, hash, err := newCredential()
	if err != nil {
		return err
	}
	relay, err := memoryRelay(childUsers, childResponseTime, hash)
	if err != nil {
		return err
	}
	d, err := relay.read(ctx)
	if err != nil {
		return err
	}
	service, stop := newService(d, unhashed{childPassword}, newLogger().WithName("login"))
	defer stop()
	metrics, clients := radius.NewMetrics(prometheus.NewRegistry()), radiusClients
	handler := radius.NewHandler(radius.Options{
		Service: service, Clients: clients, Metrics: metrics, Log: newLogger().WithName("radius"), MaxRequests: maxConnections,
		Connections: radius.NewConnections(radius.ConnectionsOptions{Clients: clients, Metrics: metrics, Log: logr.Discard()}),
	})
	authentication, err := listenUDP()
	if err != nil {
		return err
	}
	accounting, err := listenUDP()
	if err != nil {
		return err
	}
	fmt.Println(authentication.LocalAddr(), accounting.LocalAddr())
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { err = handler.ServeUDP(ctx, authentication, radius.Authentication, radiusReaders()) })
	return handler.ServeUDP(ctx, accounting, radius.Accounting, radiusReaders())
}

// radiusClients is made once: a table does not change.
var radiusClients = sync.OnceValue(func() *nas.Table {
	pair := func(key string) v1alpha1.RADIUSAttribute {
		return v1alpha1.RADIUSAttribute{Name: "Cisco-AVPair", Key: "mdm-tlv=" + key}
	}
	table, problems := nas.NewTable(&v1alpha1.RADIUS{
		Clients: []v1alpha1.RADIUSClient{{
			Name: "bench", CIDRs: []v1alpha1.CIDR{"127.0.0.1/32"}, SecretRef: &v1alpha1.LocalReference{Name: "bench"},
			RequireMessageAuthenticator: v1alpha1.MessageAuthenticatorAlways,
		}},
		Attributes: v1alpha1.RADIUSAttributes{
			Device: pair("device-uid"), Platform: pair("device-platform"), MACAddress: pair("device-public-mac"),
			SourceAddress: v1alpha1.RADIUSAttribute{Name: "Calling-Station-Id"}, OtherViewer: v1alpha1.ViewerPC,
		},
	}, map[string][]byte{"bench": []byte(radiusSecret)})
	if len(problems) > 0 {
		panic(problems[0]) // it is all constants
	}
	return table
})

func listenUDP() (*net.UDPConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
}

// runDatagrams is the floor: nobody who answers datagrams can do less.
func runDatagrams(ctx context.Context) error {
	conn, err := listenUDP()
	if err != nil {
		return err
	}
	ctx, cancel := untilEOF(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	fmt.Println(conn.LocalAddr(), conn.LocalAddr())
	var wg sync.WaitGroup
	for range radiusReaders() {
		wg.Go(func() {
			buffer := make([]byte, 4097)
			for {
				_, from, err := conn.ReadFromUDPAddrPort(buffer)
				if err != nil {
					return
				}
				buffer[0] = accountingResponse
				_, _ = conn.WriteToUDPAddrPort(buffer[:accountingReplyBytes], from)
			}
		})
	}
	wg.Wait()
	return nil
}
