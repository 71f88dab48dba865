package setup

import (
	"fmt"
	"net"
	"strconv"
)

// configText is the configuration of a small server, with a word about what is most likely to be changed.
func configText(o Options) string {
	data := strconv.Quote(o.Data)
	all := func(port string) string {
		list := `["0.0.0.0:` + port + `"`
		if hasIPv6() {
			list += `, "[::]:` + port + `"`
		}
		return list + "]"
	}
	return fmt.Sprintf(`# The mail server of %[1]s. After a change: systemctl reload waybill, or SIGHUP.
hostname = %[2]q      # must be the reverse name of the server's address too
data     = %[3]s

[listen]
smtp        = %[7]s        # mail from other servers
submission  = %[8]s       # mail from you, STARTTLS
submissions = %[9]s       # mail from you, TLS
pop3        = %[10]s       # your mail, STLS
pop3s       = %[11]s       # your mail, TLS
http        = ["127.0.0.1:8080"]    # metrics and health, for this machine only

# A certificate that your mail client and other servers accept without a question, as from Let's Encrypt. Without it a
# self-signed one is used, which is in the data directory.
# [tls]
# cert = "/etc/letsencrypt/live/%[4]s/fullchain.pem"
# key  = "/etc/letsencrypt/live/%[4]s/privkey.pem"

# Where port 25 to the world is closed, as at many providers, all mail can leave through another server.
# [[route]]
# domains       = ["*"]
# via           = ["smtp.provider.example:587"]
# tls           = "required"
# user          = "you"
# password_file = "smarthost-password"

[[domain]]
name       = %[5]q
postmaster = %[6]q
`, o.Domain, o.Hostname, data, o.Hostname, o.Domain, o.Account.String(), all("25"), all("587"), all("465"), all("110"), all("995"))
}

// hasIPv6 says whether this machine can listen on IPv6 at all.
func hasIPv6() bool {
	l, err := net.Listen("tcp6", "[::]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// unitText is a unit for systemd: the server runs as a user of its own, may use ports below 1024, and may write to its data
// and nothing else.
func unitText(o Options, config string) string {
	return fmt.Sprintf(`# systemctl enable --now %[5]s (the path of this file), then: systemctl status waybill
[Unit]
Description=waybill, the mail server of %[1]s
After=network-online.target nss-lookup.target
Wants=network-online.target

[Service]
Type=notify
ExecStart=%[2]s serve --config %[3]s
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
TimeoutStopSec=40
LimitNOFILE=65536
User=%[6]s
Group=%[6]s

# Ports below 1024, and no other power.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes

ProtectSystem=strict
ReadWritePaths=%[4]s
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077

[Install]
WantedBy=multi-user.target
`, o.Domain, o.Program, config, o.Data, unitFile, o.User)
}
