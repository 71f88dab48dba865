//go:build !unix

package node

// dataLock is no lock where the system has none of the kind: there the embedded store's own is the only one.
type dataLock struct{}

func lockData(string) (*dataLock, error) { return nil, nil }

func (*dataLock) release() error { return nil }
