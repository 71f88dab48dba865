// Package smtp is the wire side of SMTP (RFC 5321): a server engine and a client engine.
//
// The server engine knows syntax, order, limits, deadlines, TLS and SASL; it has no policy. What may be
// done by whom is asked of a [Session], one for each connection, whose answers are [mail.Status] values.
// The order of commands is data: a table of state and command. A session outlives its transactions; a
// transaction is one struct value that is replaced as a whole.
//
// Both engines take every byte from the peer as hostile. Lines end in CR LF and nothing else; only
// CR LF . CR LF, or the last chunk, ends a message, and a message with a bare CR or LF is refused by the server (or, on
// a listener for clients that log in, gets CR LF in its place) and never written by the client, so neither can be used to
// smuggle one message inside another.
//
// The content of DATA and of BDAT (RFC 3030) comes from one reader. Between two chunks there are commands, and the reader
// serves them itself, on the stack of policy's Data: a session has one goroutine, whatever its client sends. Wherever a BDAT
// stands and whatever is wrong with it, the octets that it announces are passed over as content; if it announces none, the
// connection ends.
//
// The server gives MAIL and RCPT's parameters to policy as they were asked: SIZE, BODY, SMTPUTF8 (RFC 6531), and those of
// DSN (RFC 3461, with RFC 6533). Parameters need EHLO. LIMITS (RFC 9422) tells how many recipients a message may have. The
// client says those that its transaction has and the server offers; a message that needs SMTPUTF8 goes to no other server.
//
// Everything is bounded by [Limits], and the sessions of several servers by an [Admission]. Recipients that policy refuses
// are answered ever more slowly and then with 421. A session that idles holds no buffer; with its stack it costs about 6 KiB.
//
// It deliberately does not do: BINARYMIME, REQUIRETLS, and conversion of 8-bit content.
package smtp
