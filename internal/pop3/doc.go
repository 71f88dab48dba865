// Package pop3 speaks the Post Office Protocol, version 3 (RFC 1939), at both ends: Server reads commands,
// keeps their order and limits, and asks a Session who may log in and a Maildrop for its messages; Client
// retrieves mail from any server.
//
// The protocol is data: commands.go holds one row for each command, which says in which states it is legal,
// what arguments it takes and what it does. The extensions are CAPA, PIPELINING and response codes (RFC 2449),
// STLS (RFC 2595), AUTH PLAIN (RFC 5034) and the codes of RFC 3206.
//
// Deliberately not here: who has an account, where messages are kept, what is recorded; that is package
// maildrop's. APOP is not offered, because it needs passwords in the clear on the server.
package pop3
