package control

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// Client speaks to a running server: what is asked of it is asked of the server's Node.
type Client struct {
	http http.Client
	path string
}

var _ Node = (*Client)(nil)

// patience is how long the server may take for one request: to verify a large store takes long.
const patience = 24 * time.Hour

// NewClient returns a client for the server with that data directory.
func NewClient(data string) *Client { return NewClientOf(filepath.Join(data, SocketName)) }

// NewClientOf returns a client for the server that listens on the socket of that path.
func NewClientOf(path string) *Client {
	return &Client{path: path, http: http.Client{
		Timeout: patience,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}},
	}}
}

func (c *Client) post(ctx context.Context, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://waybill"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.http.Do(req)
}

// Answers says whether a server has the socket open.
func (c *Client) Answers() bool {
	conn, err := net.Dial("unix", c.path)
	return err == nil && conn.Close() == nil
}

// Close frees the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Accounts implements Node.
func (c *Client) Accounts(ctx context.Context, domain string) ([]Account, error) {
	return ask[[]Account](ctx, c, pathAccounts, domain)
}

// Mailboxes implements Node.
func (c *Client) Mailboxes(ctx context.Context, account mail.Address) ([]mailbox.Info, error) {
	return ask[[]mailbox.Info](ctx, c, pathMailboxes, account)
}

// AddAccount implements Node.
func (c *Client) AddAccount(ctx context.Context, addr mail.Address, password string) error {
	return tell(ctx, c, pathAddAccount, login{addr, password})
}

// SetPassword implements Node.
func (c *Client) SetPassword(ctx context.Context, addr mail.Address, password string) error {
	return tell(ctx, c, pathSetPassword, login{addr, password})
}

// UpdateAccount implements Node.
func (c *Client) UpdateAccount(ctx context.Context, addr mail.Address, change directory.Change) error {
	return tell(ctx, c, pathUpdateAccount, accountChange{addr, change})
}

// RemoveAccount implements Node.
func (c *Client) RemoveAccount(ctx context.Context, addr mail.Address) error {
	return tell(ctx, c, pathRemoveAccount, addr)
}

// Aliases implements Node.
func (c *Client) Aliases(ctx context.Context, domain string) ([]directory.Alias, error) {
	return ask[[]directory.Alias](ctx, c, pathAliases, domain)
}

// PutAlias implements Node.
func (c *Client) PutAlias(ctx context.Context, a directory.Alias, isNew bool) error {
	return tell(ctx, c, pathPutAlias, aliasChange{a, isNew})
}

// RemoveAlias implements Node.
func (c *Client) RemoveAlias(ctx context.Context, addr mail.Address) error {
	return tell(ctx, c, pathRemoveAlias, addr)
}

// Nodes implements Node.
func (c *Client) Nodes(ctx context.Context) ([]StoreNode, error) {
	return ask[[]StoreNode](ctx, c, pathNodes, nothing{})
}

// Domains implements Node.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	return ask[[]Domain](ctx, c, pathDomains, nothing{})
}

// PutDomain implements Node.
func (c *Client) PutDomain(ctx context.Context, change DomainChange) error {
	return tell(ctx, c, pathPutDomain, change)
}

// RemoveDomain implements Node.
func (c *Client) RemoveDomain(ctx context.Context, name string) error {
	return tell(ctx, c, pathRemoveDomain, name)
}

// Queue implements Node.
func (c *Client) Queue(ctx context.Context, f QueueFilter) (QueuePage, error) {
	return ask[QueuePage](ctx, c, pathQueue, f)
}

// ManageQueue implements Node.
func (c *Client) ManageQueue(ctx context.Context, ids []mail.ID, action spool.Action) ([]Refusal, error) {
	return ask[[]Refusal](ctx, c, pathManageQueue, order{ids, action})
}

// Route implements Node.
func (c *Client) Route(ctx context.Context, from, to mail.Address) (Route, error) {
	return ask[Route](ctx, c, pathRoute, envelope{from, to})
}

// Events implements Node.
func (c *Client) Events(ctx context.Context, id mail.ID) ([]trail.Event, error) {
	return ask[[]trail.Event](ctx, c, pathEvents, id)
}

// Visits implements Node.
func (c *Client) Visits(ctx context.Context, q trail.Query) (trail.Visits, error) {
	return ask[trail.Visits](ctx, c, pathVisits, q)
}
