package trace

// known is what was learnt of the ids of one kind so far, and what was said of
// those that were asked for.
type known struct {
	all, in       idSet // ids, and those of the window
	kept, dropped idSet // asked for, and not in the window at that time
}

// expect notes what was said of an id. It says no where there are too many.
func (k *known) expect(id int64, f fate) bool {
	if f == keep {
		return k.kept.add(id)
	}
	return k.dropped.add(id)
}

// contradicted says whether something else would have been said of an id, had
// been known what is learnt of it now.
func (k *known) contradicted(id int64, within bool) bool {
	if within {
		return k.dropped.has(id)
	}
	return k.kept.has(id)
}
