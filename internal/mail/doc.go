// Package mail holds the words of the field that every other package shares:
// Address, Envelope, Recipient, ID and Status. It does no I/O.
package mail
