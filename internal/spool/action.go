package spool

// Action is what an operator can do to a message in custody (queue.Manage).
type Action string

const (
	Retry   Action = "retry"   // attempt it now
	Hold    Action = "hold"    // attempt it no more until it is released
	Release Action = "release" // attempt what was held
	Drop    Action = "drop"    // end its custody; nobody is told
	Bounce  Action = "bounce"  // give it up and tell the sender
)

// Actions are all of them.
func Actions() []Action { return []Action{Retry, Hold, Release, Drop, Bounce} }
