package trace

// idSet is a set of ids that mostly follow one another, as a profiler's
// correlation ids do: a bit an id. The zero value is empty.
type idSet struct {
	pages map[int64]*idPage
	at    int64   // number of the page used last
	page  *idPage // that page, nil before the first use
}

type idPage [64]uint64

const idsPerPage = 64 * 64

// add says no where the set has become too big: ids that do not follow one
// another take a page each.
func (s *idSet) add(id int64) bool {
	p := s.find(id)
	if p == nil {
		if len(s.pages) >= maxIDPages {
			return false
		}
		if s.pages == nil {
			s.pages = map[int64]*idPage{}
		}
		p = new(idPage)
		s.at = id >> 12
		s.pages[s.at], s.page = p, p
	}
	bit := uint64(id) % idsPerPage
	p[bit/64] |= 1 << (bit % 64)
	return true
}

func (s *idSet) has(id int64) bool {
	p := s.find(id)
	bit := uint64(id) % idsPerPage
	return p != nil && p[bit/64]>>(bit%64)&1 == 1
}

func (s *idSet) find(id int64) *idPage {
	if n := id >> 12; s.page == nil || n != s.at {
		if p := s.pages[n]; p != nil {
			s.at, s.page = n, p
			return p
		}
		return nil
	}
	return s.page
}
