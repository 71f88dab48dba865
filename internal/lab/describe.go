package lab

import (
	"waybill/internal/mail"
)

// Server is one listener of the lab.
type Server struct {
	Role    string `json:"role"`
	Name    string `json:"name"`
	Node    int    `json:"node,omitempty"` // of the receiving side, from 1, if that has nodes
	Logical string `json:"logical"`        // address:port in the lab, which the zones and the waybill name
	Address string `json:"address"`        // address:port to connect to on this machine
}

// Servers lists every server with its socket; a mail server has one for each protocol.
func (l *Lab) Servers() []Server {
	var servers []Server
	add := func(h host, role string, port uint16) {
		addr := h.port(port)
		servers = append(servers, Server{
			Role: role, Name: h.name, Node: l.nodeNumber(h.name), Logical: addr.String(), Address: l.network.socket(addr),
		})
	}
	for _, a := range authorities {
		add(a.host, a.host.role, dnsPort)
	}
	for _, r := range resolvers {
		add(r, r.role, dnsPort)
	}
	for _, u := range l.users {
		for _, h := range u.servers {
			for _, p := range protocols {
				add(h, p.name, p.port)
			}
		}
	}
	return servers
}

// Client is a computer of the lab at which a person sits.
type Client struct {
	Role    string `json:"role"`
	Name    string `json:"name"`
	Address string `json:"address"`
}

// Clients lists them, your terminal included.
func (l *Lab) Clients() []Client {
	var clients []Client
	for _, h := range []host{senderClient, recvClient, terminal, stranger} {
		clients = append(clients, Client{Role: h.role, Name: h.name, Address: h.addr})
	}
	return clients
}

// EmailSettings are what a person types into a mail client to be one of the lab's users.
type EmailSettings struct {
	User        mail.Address `json:"user"` // address and login
	Password    string       `json:"password"`
	SMTP        string       `json:"smtp"`        // address:port
	Submission  string       `json:"submission"`  // with STARTTLS
	Submissions string       `json:"submissions"` // with TLS
	POP3        string       `json:"pop3"`
	POP3S       string       `json:"pop3s"`               // with TLS
	RelayFrom   []string     `json:"relayFrom,omitempty"` // addresses that may relay on port 25 without a login
}

// Settings returns the email settings of both users, the sender first. Where there are nodes, those of the first are as good as any.
func (l *Lab) Settings() []EmailSettings {
	var all []EmailSettings
	for _, u := range l.users {
		socket := func(protocol string) string { return l.network.socket(u.servers[0].port(portOf(protocol))) }
		s := EmailSettings{
			User: u.Address, Password: u.Password, SMTP: socket("smtp"), Submission: socket("submission"),
			Submissions: socket("submissions"), POP3: socket("pop3"), POP3S: socket("pop3s"),
		}
		if u.servers[0] == senderMail {
			s.RelayFrom = []string{senderClient.addr, terminal.addr}
		}
		all = append(all, s)
	}
	return all
}

// Note says how the lab's addresses are mapped to this machine's; "" when they are what they seem.
func (l *Lab) Note() string { return l.network.note() }
