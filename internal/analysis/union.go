package analysis

// union is for how long at least one of some spans was, which come in the order of
// their start.
type union struct {
	sum int64
	end int64 // of the latest so far; to begin with the start of the first
}

func (u *union) add(start, end int64) {
	if end > u.end {
		u.sum += end - max(start, u.end)
		u.end = end
	}
}
