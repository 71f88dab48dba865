package pop3

import "time"

// Limits bound what a client can make a server do.
type Limits struct {
	CommandLine int // octets of a command with its line end (RFC 2449 §4)
	SecretLine  int // octets of a line with a password: PASS, AUTH and what answers its challenge

	Idle      time.Duration // longest wait for a command; at least ten minutes (RFC 1939 §3)
	Login     time.Duration // longest time from the connection to a login
	Write     time.Duration // longest wait until the client takes at most 64 KiB of output
	Handshake time.Duration // longest TLS handshake

	Errors             int // commands with wrong syntax or out of order in a session; then it is closed
	LoginFailures      int // refused logins in a session; then it is closed
	Sessions           int // at once
	SessionsPerAddress int // at once from one IPv4 address or IPv6 /64
}

// DefaultLimits returns the limits for a server on the open Internet.
func DefaultLimits() Limits {
	return Limits{
		CommandLine: 255, SecretLine: 4096,
		Idle: 10 * time.Minute, Login: 3 * time.Minute, Write: time.Minute, Handshake: 30 * time.Second,
		Errors: 20, LoginFailures: 3, Sessions: 10_000, SessionsPerAddress: 200,
	}
}
