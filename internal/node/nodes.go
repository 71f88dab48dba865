package node

import (
	"context"
	"fmt"
	"slices"

	"waybill/internal/control"
	"waybill/internal/store/lease"
)

// Nodes returns the nodes of a store that several may use; none if this one has it to itself.
func (k *core) Nodes(ctx context.Context) ([]control.StoreNode, error) {
	if err := ctx.Err(); err != nil || !k.lease.Shared() {
		return nil, err
	}
	snap, err := k.engine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("look for the nodes: %w", err)
	}
	defer snap.Close()
	found, err := lease.Nodes(snap)
	if err != nil {
		return nil, err
	}
	var all []control.StoreNode
	for _, n := range found {
		all = append(all, control.StoreNode{
			Number: n.Number, Name: n.Name, Joined: n.Joined, Beat: n.Beat, Taken: n.Taken, Asked: n.Number == k.lease.Number(),
		})
	}
	return all, nil
}

// Nodes returns the nodes of the store, without this command, which is one for a moment.
func (o *Offline) Nodes(ctx context.Context) ([]control.StoreNode, error) {
	all, err := o.core.Nodes(ctx)
	return slices.DeleteFunc(all, func(n control.StoreNode) bool { return n.Asked }), err
}
