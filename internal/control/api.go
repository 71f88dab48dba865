package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// The requests, where one value does not say it all.
type (
	login struct {
		Address  mail.Address `json:"address"`
		Password string       `json:"password"`
	}
	accountChange struct {
		Address mail.Address     `json:"address"`
		Change  directory.Change `json:"change"`
	}
	aliasChange struct {
		Alias directory.Alias `json:"alias"`
		New   bool            `json:"new"`
	}
	order struct {
		IDs    []mail.ID    `json:"ids"`
		Action spool.Action `json:"action"`
	}
	envelope struct {
		From mail.Address `json:"from"`
		To   mail.Address `json:"to"`
	}
	imported struct {
		Account mail.Address `json:"account"`
		Keys    []string     `json:"keys"`
	}
	nothing struct{}
)

// Paths of the API. Each is a POST with a JSON value, answered by one.
const (
	pathAccounts      = "/accounts/list"
	pathMailboxes     = "/accounts/mailboxes"
	pathAddAccount    = "/accounts/add"
	pathSetPassword   = "/accounts/password"
	pathUpdateAccount = "/accounts/update"
	pathRemoveAccount = "/accounts/remove"
	pathAliases       = "/aliases/list"
	pathPutAlias      = "/aliases/put"
	pathRemoveAlias   = "/aliases/remove"
	pathDomains       = "/domains/list"
	pathPutDomain     = "/domains/put"
	pathRemoveDomain  = "/domains/remove"
	pathNodes         = "/nodes/list"
	pathQueue         = "/queue/list"
	pathManageQueue   = "/queue/manage"
	pathRoute         = "/route"
	pathImported      = "/import/known"
	pathImport        = "/import"
	pathExport        = "/export"
	pathContent       = "/export/content"
	pathBackup        = "/backup"
	pathVerify        = "/verify"
	pathEvents        = "/messages/events"
	pathVisits        = "/visits"
)

// routes serves what a node can do.
func routes(node Node) http.Handler {
	mux := http.NewServeMux()
	serve(mux, pathAccounts, node.Accounts)
	serve(mux, pathMailboxes, node.Mailboxes)
	serveVoid(mux, pathAddAccount, func(ctx context.Context, r login) error { return node.AddAccount(ctx, r.Address, r.Password) })
	serveVoid(mux, pathSetPassword, func(ctx context.Context, r login) error { return node.SetPassword(ctx, r.Address, r.Password) })
	serveVoid(mux, pathUpdateAccount, func(ctx context.Context, r accountChange) error { return node.UpdateAccount(ctx, r.Address, r.Change) })
	serveVoid(mux, pathRemoveAccount, node.RemoveAccount)
	serve(mux, pathAliases, node.Aliases)
	serveVoid(mux, pathPutAlias, func(ctx context.Context, r aliasChange) error { return node.PutAlias(ctx, r.Alias, r.New) })
	serveVoid(mux, pathRemoveAlias, node.RemoveAlias)
	serve(mux, pathDomains, func(ctx context.Context, _ nothing) ([]Domain, error) { return node.Domains(ctx) })
	serveVoid(mux, pathPutDomain, node.PutDomain)
	serveVoid(mux, pathRemoveDomain, node.RemoveDomain)
	serve(mux, pathNodes, func(ctx context.Context, _ nothing) ([]StoreNode, error) { return node.Nodes(ctx) })
	serve(mux, pathQueue, node.Queue)
	serve(mux, pathManageQueue, func(ctx context.Context, r order) ([]Refusal, error) { return node.ManageQueue(ctx, r.IDs, r.Action) })
	serve(mux, pathRoute, func(ctx context.Context, r envelope) (Route, error) { return node.Route(ctx, r.From, r.To) })
	serve(mux, pathImported, func(ctx context.Context, r imported) ([]bool, error) { return node.Imported(ctx, r.Account, r.Keys) })
	mux.HandleFunc("POST "+pathImport, importing(node))
	serve(mux, pathExport, node.Export)
	mux.HandleFunc("POST "+pathContent, contents(node))
	mux.HandleFunc("POST "+pathBackup, backups(node))
	mux.HandleFunc("POST "+pathVerify, verifying(node))
	serve(mux, pathEvents, node.Events)
	serve(mux, pathVisits, func(ctx context.Context, q trail.Query) (trail.Visits, error) { return node.Visits(ctx, q) })
	return mux
}

type errorReply struct {
	Error string `json:"error"`
}

// serve answers a request by what do returns.
func serve[Request, Answer any](mux *http.ServeMux, path string, do func(context.Context, Request) (Answer, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var request Request
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&request); err != nil {
			reply(w, http.StatusBadRequest, errorReply{"the request cannot be read"}) // never its text: it may hold a password
			return
		}
		answer, err := do(r.Context(), request)
		if err != nil {
			reply(w, http.StatusUnprocessableEntity, errorReply{err.Error()})
			return
		}
		reply(w, http.StatusOK, answer)
	})
}

func serveVoid[Request any](mux *http.ServeMux, path string, do func(context.Context, Request) error) {
	serve(mux, path, func(ctx context.Context, request Request) (nothing, error) { return nothing{}, do(ctx, request) })
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a caller that is gone needs no answer
}

// ask sends a request and reads the answer.
func ask[Answer any](ctx context.Context, c *Client, path string, request any) (answer Answer, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return answer, err
	}
	resp, err := c.post(ctx, path, body)
	if err != nil {
		return answer, fmt.Errorf("the store is in use, but the server does not answer on its control socket: %w", err)
	}
	return readAnswer[Answer](resp)
}

// readAnswer reads what the server says.
func readAnswer[Answer any](resp *http.Response) (answer Answer, err error) {
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e errorReply
		if json.NewDecoder(resp.Body).Decode(&e) != nil || e.Error == "" {
			return answer, fmt.Errorf("the server answers %s", resp.Status)
		}
		return answer, errors.New(e.Error)
	}
	return answer, json.NewDecoder(resp.Body).Decode(&answer)
}

// tell is ask where nothing is answered.
func tell(ctx context.Context, c *Client, path string, request any) error {
	_, err := ask[nothing](ctx, c, path, request)
	return err
}
