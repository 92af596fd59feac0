package spec

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)$`)

// sizeUnits are bytes a unit, by the unit in lower case.
var sizeUnits = map[string]int64{
	"b":  1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "pb": 1e15,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50,
}

// parseSize is the number of bytes that a size such as "10GiB", "1.5 TB" or "0B" means.
// A fraction of a byte is cut off.
func parseSize(text string) (int64, error) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is not a number with a unit", text)
	}
	unit, ok := sizeUnits[strings.ToLower(m[2])]
	if !ok {
		return 0, fmt.Errorf("there is no unit %q, only B, kB, MB, GB, TB, PB and KiB, MiB, GiB, TiB, PiB", m[2])
	}
	if len(m[1]) > maxNumberLength {
		return 0, errors.New("it is larger than any disk")
	}
	n, _ := new(big.Rat).SetString(m[1])
	n.Mul(n, new(big.Rat).SetInt64(unit))
	whole := new(big.Int).Quo(n.Num(), n.Denom())
	if !whole.IsInt64() || whole.Int64() == math.MaxInt64 {
		return 0, errors.New("it is larger than any disk")
	}
	return whole.Int64(), nil
}

// formatSize is a size as it would be written, rounded to a tenth of its unit.
func formatSize(bytes int64) string {
	for _, unit := range []string{"PiB", "TiB", "GiB", "MiB", "KiB"} {
		if n := float64(bytes) / float64(sizeUnits[strings.ToLower(unit)]); n >= 1 {
			return strconv.FormatFloat(math.Round(n*10)/10, 'f', -1, 64) + unit
		}
	}
	return fmt.Sprintf("%dB", bytes)
}

// mustDuration and mustNumber read the defaults of the schema, which a test has read.
func mustDuration(text string) time.Duration {
	d, _ := time.ParseDuration(text)
	return d
}

func mustNumber(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}
