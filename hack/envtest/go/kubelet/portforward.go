package main

import (
	"context"
	"fmt"
	"io"
	"net"
)

// forwarder connects to the port on loopback, whatever the pod: the test's own listener plays the container.
type forwarder struct{}

// PortForward carries half-close both ways and ends when both directions have.
func (forwarder) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := io.Copy(conn, stream); err != nil {
			_ = conn.Close()
			return
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	if _, err := io.Copy(stream, conn); err != nil {
		return nil
	}
	// On a SPDY stream this ends our direction only; the client may go on sending.
	_ = stream.Close()
	<-sent
	return nil
}
