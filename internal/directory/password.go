package directory

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// MaxPassword bounds a password, in octets.
const MaxPassword = 1024

// Cost is what one argon2id hash costs (RFC 9106 §3.1).
type Cost struct {
	Memory  uint32 // KiB
	Passes  uint32
	Threads uint8
}

// DefaultCost is 19 MiB in two passes of one thread, as OWASP recommends.
var DefaultCost = Cost{Memory: 19 << 10, Passes: 2, Threads: 1}

const (
	saltSize = 16
	hashSize = 32
)

// Add adds to the batch a new account. The commit fails with store.ErrConflict if it exists. The address must be in
// one of the domains of this node; the password is any text of 1 to MaxPassword octets that a line can carry. ctx
// bounds the wait for a turn to compute the hash.
func (d *Directory) Add(ctx context.Context, b *store.Batch, addr mail.Address, password string) error {
	if _, ok := d.domain(addr.Domain); !ok || addr.Local == "" {
		return fmt.Errorf("account %s: %s is no domain of this server; there are: %s",
			addr, quoted(addr.Domain), d.names())
	}
	if err := CheckPassword(password); err != nil {
		return fmt.Errorf("account %s: %w", addr, err)
	}
	if addr.Local == CatchAll {
		return fmt.Errorf("account %s: that is the name of a catch-all, which is an alias", addr)
	}
	b.Create(keys.Account(addr), Account{Address: addr, Created: time.Now()}.encode())
	return d.putPassword(ctx, b, addr, password)
}

// SetPassword adds to the batch a new password of an account. The commit fails with store.ErrConflict if the account was
// changed meanwhile. Errors: ErrNoAccount, those of Add.
func (d *Directory) SetPassword(ctx context.Context, b *store.Batch, addr mail.Address, password string) error {
	if err := CheckPassword(password); err != nil {
		return fmt.Errorf("account %s: %w", addr, err)
	}
	_, version, err := d.versioned(ctx, addr)
	if err != nil {
		return err
	}
	b.Check(keys.Account(addr), version)
	return d.putPassword(ctx, b, addr, password)
}

func (d *Directory) putPassword(ctx context.Context, b *store.Batch, addr mail.Address, password string) error {
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails, since Go 1.24
	hash, err := d.hash(ctx, d.cost, salt, password)
	if err != nil {
		return fmt.Errorf("account %s: %w", addr, err)
	}
	b.Put(keys.Password(addr), []byte(phc{d.cost, salt, hash}.String()))
	if err := d.putKeys(ctx, b, addr, password); err != nil {
		return fmt.Errorf("account %s: %w", addr, err)
	}
	return nil
}

func quoted(domain string) string {
	if domain == "" {
		return "an address without a domain"
	}
	return domain
}

// CheckPassword says what a password cannot be, without showing it.
func CheckPassword(p string) error {
	switch {
	case p == "":
		return errors.New("the password is empty")
	case len(p) > MaxPassword:
		return fmt.Errorf("the password is longer than %d octets", MaxPassword)
	case !utf8.ValidString(p):
		return errors.New("the password is not UTF-8 text")
	case strings.ContainsAny(p, "\x00\r\n"):
		return errors.New("the password holds a line end or NUL, which no mail protocol can carry")
	}
	return nil
}

// Authenticate returns the account that login names, the full address in any case, if the password is right.
// An unknown login costs as much and is answered as a wrong password; only what was right of late costs less.
// Errors: ErrCredentials, ErrBusy, a done context while others are being checked, those of the store.
func (d *Directory) Authenticate(ctx context.Context, login, password string) (Account, error) {
	c, err := d.credentials(login)
	if err != nil && !errors.Is(err, ErrNoAccount) {
		return Account{}, fmt.Errorf("check a login: %w", err)
	}
	known := err == nil
	if !known {
		c.password = phc{d.cost, make([]byte, saltSize), make([]byte, hashSize)}
	}
	if len(password) > MaxPassword {
		known, password = false, ""
	}
	if known && d.right.has(c.account.Key(), password, c.version) {
		return c.account, nil
	}
	hash, err := d.hash(ctx, c.password.cost, c.password.salt, password)
	if err != nil {
		return Account{}, err
	}
	if same := subtle.ConstantTimeCompare(hash, c.password.hash) == 1; !same || !known {
		return Account{}, ErrCredentials
	}
	d.right.add(c.account.Key(), password, c.version)
	return c.account, nil
}

// credentials are an account with its password's hash and that one's version.
type credentials struct {
	account  Account
	password phc
	version  store.Version
}

func (d *Directory) credentials(login string) (c credentials, err error) {
	addr, err := mail.ParseAddress(login)
	if err != nil || !d.IsLocal(addr.Domain) {
		return c, ErrNoAccount
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return c, err
	}
	defer snap.Close()
	if c.account, err = get(snap, addr); err == nil && c.account.Disabled {
		err = ErrNoAccount
	}
	if err != nil {
		return c, err
	}
	value, version, err := snap.Get(keys.Password(addr))
	if errors.Is(err, store.ErrNotFound) {
		return c, ErrNoAccount
	}
	if err != nil {
		return c, err
	}
	c.version = version
	if c.password, err = parsePHC(string(value)); err != nil {
		return c, fmt.Errorf("password of %s: %w", addr, err)
	}
	return c, nil
}

// hash computes a hash when it is its turn.
func (d *Directory) hash(ctx context.Context, c Cost, salt []byte, password string) (hash []byte, err error) {
	err = d.inTurn(ctx, func() error {
		hash = argon2.IDKey([]byte(password), salt, c.Passes, c.Memory, c.Threads, hashSize)
		return nil
	})
	return hash, err
}

// inTurn does costly work on a password when it is its turn. Errors: ErrBusy, a done context, the work's.
func (d *Directory) inTurn(ctx context.Context, work func() error) error {
	defer d.waiting.Add(-1)
	if d.waiting.Add(1) > maxHashing+maxWaiting {
		return ErrBusy
	}
	select {
	case d.hashing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.hashing }()
	return work()
}

// phc is a hash in the PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash
// (github.com/P-H-C/phc-string-format).
type phc struct {
	cost       Cost
	salt, hash []byte
}

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.cost.Memory, p.cost.Passes,
		p.cost.Threads, base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.hash))
}

// Bounds of what is believed of a stored hash.
const (
	maxMemory = 1 << 20 // KiB
	maxPasses = 100
)

// CheckHash says whether a password's record can be used. Errors: record.ErrCorrupt.
func CheckHash(value []byte) error {
	_, err := parsePHC(string(value))
	return err
}

func parsePHC(s string) (p phc, err error) {
	corrupt := fmt.Errorf("%w: not an argon2id hash", record.ErrCorrupt)
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, corrupt
	}
	if p.cost, err = parseCost(parts[3]); err != nil {
		return p, corrupt
	}
	encoding := base64.RawStdEncoding.Strict()
	if p.salt, err = encoding.DecodeString(parts[4]); err != nil || len(p.salt) < 8 {
		return p, corrupt
	}
	if p.hash, err = encoding.DecodeString(parts[5]); err != nil || len(p.hash) != hashSize {
		return p, corrupt
	}
	return p, nil
}

// parseCost reads "m=19456,t=2,p=1".
func parseCost(s string) (c Cost, err error) {
	var numbers [3]uint64
	parts := strings.Split(s, ",")
	if len(parts) != len(numbers) {
		return c, record.ErrCorrupt
	}
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(parts[i], name)
		if !ok {
			return c, record.ErrCorrupt
		}
		if numbers[i], err = strconv.ParseUint(digits, 10, 32); err != nil || numbers[i] == 0 {
			return c, record.ErrCorrupt
		}
	}
	if numbers[0] > maxMemory || numbers[1] > maxPasses || numbers[2] > 255 {
		return c, record.ErrCorrupt
	}
	return Cost{Memory: uint32(numbers[0]), Passes: uint32(numbers[1]), Threads: uint8(numbers[2])}, nil
}
