// Package dns asks and answers questions about names: a stub resolver (Client), a recursive server that follows
// referrals from the root (Recursor), and an authoritative server for zones from master files (Authority).
// It is the only package that knows the DNS library, none of whose types appears in its exported API.
//
// Everything goes over sockets that the caller gives (a Dial function, a net.PacketConn, a net.Listener), so that a
// laboratory can put its own network underneath. Every message from there is taken to be hostile: its size, its
// records, the aliases and referrals that it leads to, and the time that it may take are bounded; only records that
// answer the question, from a server that may speak for them, are believed.
//
// "There is no such thing" (NXDOMAIN, NODATA) and "nobody could tell" (SERVFAIL, TIMEOUT and the like) are kept
// apart everywhere: the first is ErrNotFound and ends a delivery, the second is temporary.
//
// What it deliberately does not do: DNSSEC validation, zone transfers, dynamic updates.
package dns
