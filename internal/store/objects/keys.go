package objects

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Keys are what a client is known by.
type Keys struct {
	Access, Secret string
	From           string // where they were read, for people
}

// String hides the secret.
func (k Keys) String() string { return "keys from " + k.From }

// GoString hides it too.
func (k Keys) GoString() string { return k.String() }

// Names of the environment's variables, which other programs use too.
const (
	envAccess = "AWS_ACCESS_KEY_ID"
	envSecret = "AWS_SECRET_ACCESS_KEY"
)

// maxKeysFile bounds a file of credentials, in octets.
const maxKeysFile = 64 << 10

// ReadKeys reads the access key and its secret from a file, or, if its name is "", from the environment. The file has the form that other
// programs know: lines aws_access_key_id = … and aws_secret_access_key = …, with or without [default] above them; other sections are passed over.
func ReadKeys(file string) (Keys, error) {
	if file == "" {
		return environmentKeys()
	}
	f, err := os.Open(file)
	if err != nil {
		return Keys{}, fmt.Errorf("read the credentials of the object store: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKeysFile))
	if err != nil {
		return Keys{}, fmt.Errorf("read the credentials of the object store: %w", err)
	}
	k, err := parseKeys(content)
	if err != nil {
		return Keys{}, fmt.Errorf("the credentials of the object store in %s: %w", file, err)
	}
	k.From = file
	return k, nil
}

func environmentKeys() (Keys, error) {
	k := Keys{Access: os.Getenv(envAccess), Secret: os.Getenv(envSecret), From: "the environment (" + envAccess + ", " + envSecret + ")"}
	if k.Access == "" || k.Secret == "" {
		return Keys{}, fmt.Errorf("the object store needs credentials: set %s and %s in the environment, or write credentials=FILE in bodies", envAccess, envSecret)
	}
	return k, nil
}

// parseKeys reads a file's content. Errors never quote it.
func parseKeys(content []byte) (k Keys, err error) {
	section := "default"
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[] ")
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return Keys{}, fmt.Errorf("line %d is no name = value", n)
		}
		if section != "default" {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "aws_access_key_id":
			k.Access = strings.TrimSpace(value)
		case "aws_secret_access_key":
			k.Secret = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return Keys{}, err
	}
	if k.Access == "" || k.Secret == "" {
		return Keys{}, errors.New("it needs the lines aws_access_key_id = … and aws_secret_access_key = …")
	}
	return k, nil
}
