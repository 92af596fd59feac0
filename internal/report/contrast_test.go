package report

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
)

// TestContrast holds the colours of each scheme to WCAG 2 level AA: 4.5 for text, 3 for
// what a picture's parts are told from their ground by.
func TestContrast(t *testing.T) {
	variable := regexp.MustCompile(`--([a-z0-9]+): (#[0-9a-f]{6});`)
	rest := style
	for _, scheme := range []string{"light", "dark", "print"} {
		_, block, ok := strings.Cut(rest, ":root {")
		if !ok {
			t.Fatalf("there is no block of colours for %s", scheme)
		}
		block, rest, _ = strings.Cut(block, "}")
		colours := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(block, -1) {
			colours[m[1]] = m[2]
		}
		for name, least := range map[string]float64{"text": 7, "quiet": 4.5, "link": 4.5, "good": 4.5, "bad": 4.5, "focus": 3,
			"blue": 3, "red": 3, "green": 3, "pink": 3, "grey": 3, "p3": 3, "p4": 3, "p5": 3, "p6": 3, "p7": 3, "p8": 3, "rest": 3} {
			for _, ground := range []string{"ground", "raised", "alert"} {
				if ground != "ground" && least == 3 || colours[name] == "" {
					continue
				}
				if got := contrast(colours[name], colours[ground]); got < least {
					t.Errorf("%s: %s on %s has a contrast of %.2f, it needs %.1f", scheme, name, ground, got, least)
				}
			}
		}
		if colours["text"] == "" || colours["ground"] == "" || colours["blue"] == "" {
			t.Errorf("%s has no colours", scheme)
		}
	}
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(colour string) float64 {
	var r, g, b uint8
	if _, err := fmt.Sscanf(colour, "#%02x%02x%02x", &r, &g, &b); err != nil {
		return math.NaN()
	}
	linear := func(c uint8) float64 {
		v := float64(c) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}
