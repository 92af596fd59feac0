package analysis

// ranks holds readings against each other by the collectives that they leave together.
func ranks(readings []Reading) []RankSkew { return nil }
