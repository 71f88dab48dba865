// Package smtp is the wire side of SMTP (RFC 5321): a server engine and a client engine.
//
// The server engine knows syntax, order, limits, deadlines, TLS and SASL; it has no policy. What may be
// done by whom is asked of a [Session], one for each connection, whose answers are [mail.Status] values.
// The order of commands is data: a table of state and command. A session outlives its transactions; a
// transaction is one struct value that is replaced as a whole.
//
// Both engines take every byte from the peer as hostile. Lines end in CR LF and nothing else; only
// CR LF . CR LF ends a message, and a message with a bare CR or LF is refused by the server and never
// written by the client, so neither can be used to smuggle one message inside another.
//
// It deliberately does not do: BDAT, DSN parameters, SMTPUTF8, and conversion of 8-bit content.
package smtp
