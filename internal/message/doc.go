// Package message reads and writes what stands inside a message (RFC 5322): header fields as ranges of octets, the
// trace fields that servers add, delivery status notifications (RFC 3464) and letters. Reading never fails, whatever
// a stranger sent, and is bounded. What is written is folded, in 7-bit form, and free of line breaks that came in
// with somebody's words. Bodies of foreign messages are not parsed here: a mail server has no business in them.
package message
