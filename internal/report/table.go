package report

import (
	"strconv"

	"profjob/internal/phrase"
)

// table is one table of the page; its first column heads the rows.
type table struct {
	Caption string
	Columns []column
	Rows    [][]cell
	Note    string // what was left out
	Sorts   bool   // its headings sort it, where there are scripts
}

type column struct {
	Text   string
	Number bool
	Title  string // what it means, where the heading doesn't tell
	Fixed  bool   // does not sort: there is a picture in it
}

type cell struct {
	Text   string
	Title  string // the fuller text
	Value  string // what it sorts by, if not by its text
	Number bool
	Swatch string // class of the colour that it explains
	Spark  *spark
	Link   string
	Bad    bool // draws attention
}

func text(s string) cell { return cell{Text: word(s)} }

func named(s string) cell {
	shown, title := name(s)
	if shown == "" {
		shown = phrase.Unknown
	}
	return cell{Text: shown, Title: title}
}

func number(n int64, shown string) cell {
	return cell{Text: shown, Value: strconv.FormatInt(n, 10), Number: true}
}

func nanos(ns int64) cell { return number(ns, phrase.Nanos(ns)) }
func count(n int64) cell  { return number(n, phrase.Count(n)) }
func size(n int64) cell   { return number(n, phrase.Bytes(n)) }
func unknown() cell       { return number(-1, phrase.Unknown) }

func percent(part, whole int64) cell {
	if whole <= 0 {
		return unknown()
	}
	return number(int64(1e6*float64(part)/float64(whole)), phrase.Percent(part, whole))
}

// leftOut says how many rows there would be more.
func leftOut(n int, what string) string {
	if n <= 0 {
		return ""
	}
	return "Left out of the page: " + phrase.Of(int64(n), what) + "."
}
