package testenv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports are taken from below the range that the kernel gives to outgoing connections, so that none of
// those sits on the port of a server that is being restarted.
const (
	lowestFree  = 10000
	lowestPort  = 20000 // of the control plane, and what else is reserved
	highestPort = 30000
)

// port is a TCP port on the loopback interface that is ours while the reservation is held. What holds it
// is the UDP port of the same number: the kernel gives that to one process, and frees it when it dies,
// so that test binaries that run side by side do not choose the same port.
type port struct {
	number      int
	reservation net.PacketConn
}

func reservePort() (*port, error) { return reserveBetween(lowestPort, highestPort) }

// FreeAddress is one of the loopback interface on which nothing listens at present, by TCP or UDP. It is not reserved, but
// nobody is likely to take it meanwhile.
func FreeAddress() (string, error) {
	p, err := reserveBetween(lowestFree, lowestPort)
	if err != nil {
		return "", err
	}
	return p.address(), p.release()
}

// FreeAddress is FreeAddress for a test.
func (*Env) FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func reserveBetween(lowest, highest int) (*port, error) {
	var failures []error
	for range 100 {
		p, err := tryPort(lowest + rand.IntN(highest-lowest))
		if err == nil {
			return p, nil
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("reserve a port: %w", errors.Join(failures...))
}

func tryPort(number int) (*port, error) {
	p := &port{number: number}
	reservation, err := net.ListenPacket("udp4", p.address())
	if err != nil {
		return nil, err
	}
	probe, err := net.Listen("tcp4", p.address())
	if err != nil {
		return nil, errors.Join(err, reservation.Close())
	}
	p.reservation = reservation
	return p, probe.Close()
}

func (p *port) address() string { return fmt.Sprintf("127.0.0.1:%d", p.number) }

func (p *port) url() string { return "https://" + p.address() }

func (p *port) release() error { return p.reservation.Close() }
