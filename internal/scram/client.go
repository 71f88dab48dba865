package scram

import (
	"bytes"
	"errors"
	"strconv"

	xdg "github.com/xdg-go/scram"
)

// maxAsked bounds the rounds that a server can ask of our client.
const maxAsked = 10_000_000

// ErrServer: the server's messages are malformed, ask too much or too little, or do not prove that it knows the password's
// keys. It may be another than the client thinks.
var ErrServer = errors.New("scram: the server does not prove that it knows the account")

// Client is the client's side of one login.
type Client struct {
	conversation *xdg.ClientConversation
	failed       bool // the library would go on, and take an empty proof for one
}

// ClientOptions are what a client logs in with.
type ClientOptions struct {
	Login, Password string
	// Binding ties the login to the connection, for the mechanism with -PLUS; nil is for the one without.
	Binding []byte
	// CouldBind says that we could have bound the login but were not offered to, which a server that did offer takes
	// for an attack.
	CouldBind bool
}

// NewClient begins a login.
func NewClient(o ClientOptions) (*Client, error) {
	client, err := xdg.SHA256.NewClient(o.Login, o.Password, "")
	if err != nil { // SASLprep forbids it
		client, err = xdg.SHA256.NewClientUnprepped(o.Login, o.Password, "")
	}
	if err != nil {
		return nil, err
	}
	client = client.WithMinIterations(minIterations)
	switch {
	case o.Binding != nil:
		return &Client{conversation: client.NewConversationWithChannelBinding(xdg.ChannelBinding{Type: xdg.ChannelBindingTLSExporter, Data: o.Binding})}, nil
	case o.CouldBind:
		return &Client{conversation: client.NewConversationAdvertisingChannelBinding()}, nil
	}
	return &Client{conversation: client.NewConversation()}, nil
}

// Next takes the server's message, "" at first, and returns the one for the server. done says that the server has
// proven that it knows the keys of the password, and that nothing is left to say. Errors: ErrServer.
func (c *Client) Next(message []byte) (answer []byte, done bool, err error) {
	if c.failed || asked(message) > maxAsked {
		c.failed = true
		return nil, false, ErrServer
	}
	text, err := c.conversation.Step(string(message))
	if err != nil {
		c.failed = true
		return nil, false, ErrServer // the library's error quotes what the server sent
	}
	return []byte(text), c.conversation.Valid(), nil
}

// asked returns the rounds that a server's first message asks for; 0 if it is none.
func asked(message []byte) int {
	for field := range bytes.SplitSeq(message, []byte(",")) {
		if digits, ok := bytes.CutPrefix(field, []byte("i=")); ok {
			n, err := strconv.Atoi(string(digits))
			if err != nil {
				return maxAsked + 1
			}
			return n
		}
	}
	return 0
}
