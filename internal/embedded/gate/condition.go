package gate

// condition says which engine step opens a window. It is told of each step from
// the arming on, never of idle passes.
type condition struct {
	window
	requests int64 // newly scheduled ones so far
}

func (c *condition) fits(p Pass) bool {
	tokens := int64(p.Tokens())
	if tokens < c.threshold || c.atMost != nil && tokens > *c.atMost {
		return false
	}
	return c.phase == "any" || c.phase == p.class()
}

func (c *condition) opens(p Pass) bool {
	if c.skip > 0 {
		c.requests += int64(p.New)
	}
	if c.delay > 0 {
		c.delay--
		return false
	}
	if c.skip > 0 && c.requests <= c.skip {
		return false
	}
	return c.fits(p)
}
