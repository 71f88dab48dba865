package main

import (
	"context"
	"net"
)

// answerNothing runs a DNS server that says at once, of every name, that it does not exist (RFC 1035 §4.1.1, RCODE 3).
// It returns its address and ends with ctx. So a reverse lookup costs a server its own work and no waiting.
func answerNothing(ctx context.Context) (address string, err error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := denial(buf[:n]); answer != nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
	return conn.LocalAddr().String(), nil
}

// denial turns a query into its NXDOMAIN answer, in place: header and question stay, the rest goes.
func denial(query []byte) []byte {
	const header = 12
	end := header
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 1 + 4 // the root label, type and class
	if end > len(query) {
		return nil
	}
	query[2] |= 0x80       // QR
	query[3] = 0x80 | 3    // RA, NXDOMAIN
	clear(query[6:header]) // no records
	return query[:end]
}
