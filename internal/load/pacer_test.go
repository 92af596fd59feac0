package load

import (
	"math"
	"testing"
	"time"
)

// The mean of the times between arrivals is 1/rate, whatever the burstiness, and
// their variance 1/(burstiness·rate²): the moments of the gamma distribution. The
// bounds are five standard errors; the seeds are fixed.
func TestGammaPacerMoments(t *testing.T) {
	const n = 200_000
	for _, rate := range []float64{0.5, 20, 3000} {
		for _, burstiness := range []float64{0.25, 0.7, 1, 1.5, 4, 50} {
			p := newGammaPacer(rate, burstiness, 42)
			var sum, squares float64
			last := 0.0
			for range n {
				p.next()
				interval := (p.elapsed - last) * rate
				last = p.elapsed
				sum += interval
				squares += interval * interval
			}
			mean := sum / n
			variance := squares/n - mean*mean
			wantVariance := 1 / burstiness
			meanError := math.Sqrt(wantVariance / n)
			varianceError := wantVariance * math.Sqrt((2+6/burstiness)/n) // excess kurtosis of the gamma distribution: 6/shape
			if math.Abs(mean-1) > 5*meanError {
				t.Errorf("rate %v, burstiness %v: mean interval is %v of 1/rate", rate, burstiness, mean)
			}
			if math.Abs(variance-wantVariance) > 5*varianceError {
				t.Errorf("rate %v, burstiness %v: variance is %v/rate², want %v", rate, burstiness, variance, wantVariance)
			}
		}
	}
}

// The share of intervals below 1/rate tells distributions of equal moments apart.
func TestGammaPacerDistribution(t *testing.T) {
	tests := []struct {
		burstiness, below float64
	}{
		{0.5, math.Erf(math.Sqrt(0.5))}, // χ² with one degree of freedom
		{1, 1 - math.Exp(-1)},           // exponential
		{2, 1 - 3*math.Exp(-2)},         // Erlang
		{4, 1 - math.Exp(-4)*(1+4+8+32.0/3)},
	}
	const n = 100_000
	for _, test := range tests {
		p := newGammaPacer(10, test.burstiness, 7)
		below := 0
		for range n {
			if p.interval() < 0.1 {
				below++
			}
		}
		got := float64(below) / n
		if bound := 5 * math.Sqrt(test.below*(1-test.below)/n); math.Abs(got-test.below) > bound {
			t.Errorf("burstiness %v: %v of the intervals are below the mean, want %v ± %v", test.burstiness, got, test.below, bound)
		}
	}
}

func TestGammaPacerIsDeterministic(t *testing.T) {
	a, b, other := newGammaPacer(20, 0.5, 1), newGammaPacer(20, 0.5, 1), newGammaPacer(20, 0.5, 2)
	last, same := time.Duration(0), 0
	for i := range 1000 {
		at := a.next()
		if bt := b.next(); at != bt {
			t.Fatalf("arrival %d: %s and %s with the same seed", i, at, bt)
		}
		if at == other.next() {
			same++
		}
		if at < last {
			t.Fatalf("arrival %d at %s, after one at %s", i, at, last)
		}
		last = at
	}
	if same > 0 {
		t.Errorf("%d arrivals are the same with another seed", same)
	}
}

func TestGammaPacerExtremes(t *testing.T) {
	constant := newGammaPacer(4, math.Inf(1), 0)
	for i := range 10 {
		if got, want := constant.next(), time.Duration(i+1)*250*time.Millisecond; got != want {
			t.Errorf("constant arrival %d at %s, want %s", i, got, want)
		}
	}
	if got := newGammaPacer(1e-300, 1, 0).next(); got != math.MaxInt64 {
		t.Errorf("arrival in %s, want never", got)
	}
	var p pacer = newGammaPacer(1, 1e-3, 0)
	for range 1000 {
		if at := p.next(); at < 0 {
			t.Fatalf("arrival at %s", at)
		}
	}
}
