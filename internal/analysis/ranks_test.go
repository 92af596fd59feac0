package analysis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rankReading makes a rank's reading: its clock is off by some time, and each step of 100
// has an all-reduce that ends at 80, entered so much before.
func rankReading(rank int, clock int64, inside ...int64) Reading {
	r := Reading{Trace: Trace{File: fmt.Sprint("rank", rank), Rank: &rank, WorldSize: new(int)}}
	*r.Trace.WorldSize = 2
	for i, in := range inside {
		start := clock + int64(i)*100
		r.Trace.Steps = append(r.Trace.Steps, Step{Index: i, Name: "decode", Start: start, Duration: 100})
		r.Collectives = append(r.Collectives, Collective{Name: "all_reduce", Step: i, Start: start + 80 - in, End: start + 80})
	}
	return r
}

func TestRanks(t *testing.T) {
	for _, c := range []struct {
		name     string
		readings func() []Reading
		want     []RankSkew
	}{
		{"none", func() []Reading { return nil }, nil},
		{"one rank", func() []Reading { return []Reading{rankReading(0, 0, 10)} }, nil},
		{
			"clocks apart, one late twice, the other once",
			func() []Reading {
				return []Reading{rankReading(1, 5, 50, 60, 10), rankReading(0, 1_000_000, 10, 10, 40)}
			},
			[]RankSkew{
				{File: "rank0", Rank: 0, Collectives: 3, Wait: 30, Last: 2, Caused: 90, Steps: []RankStep{{0, 100, 0, 1}, {1, 100, 0, 1}, {2, 100, 30, 0}}},
				{File: "rank1", Rank: 1, Collectives: 3, Wait: 90, Last: 1, Caused: 30, Steps: []RankStep{{0, 100, 40, 0}, {1, 100, 50, 0}, {2, 100, 0, 1}}},
			},
		},
		{
			"all at once: nobody is last",
			func() []Reading { return []Reading{rankReading(0, 0, 10), rankReading(1, 0, 10)} },
			[]RankSkew{
				{File: "rank0", Collectives: 1, Steps: []RankStep{{0, 100, 0, 0}}}, {File: "rank1", Rank: 1, Collectives: 1, Steps: []RankStep{{0, 100, 0, 0}}},
			},
		},
		{
			"a profiler that began a step later: steps of the same time are the same",
			func() []Reading {
				late := rankReading(1, 0, 99, 20, 30)
				late.Trace.Steps, late.Collectives = late.Trace.Steps[1:], late.Collectives[1:]
				return []Reading{rankReading(0, 3, 10, 10, 10), late}
			},
			[]RankSkew{
				{File: "rank0", Collectives: 2, Last: 2, Caused: 30, Steps: []RankStep{{1, 100, 0, 1}, {2, 100, 0, 1}}},
				{File: "rank1", Rank: 1, Collectives: 2, Wait: 30, Steps: []RankStep{{1, 100, 10, 0}, {2, 100, 20, 0}}},
			},
		},
		{
			"another order of two streams, and one that the other rank lacks",
			func() []Reading {
				a, b := rankReading(0, 0, 10), rankReading(1, 0, 15)
				a.Collectives = append(a.Collectives, Collective{Name: "all_gather", Step: 0, Start: 0, End: 7}, Collective{Name: "all_reduce", Step: 7, End: 9})
				b.Collectives = slices.Insert(b.Collectives, 0, Collective{Name: "all_gather", Step: 0, Start: 0, End: 5}, Collective{Name: "broadcast", Step: 0, End: 3})
				return []Reading{a, b}
			},
			[]RankSkew{
				{File: "rank0", Collectives: 2, Wait: 2, Last: 1, Caused: 5, Steps: []RankStep{{0, 100, 2, 1}}},
				{File: "rank1", Rank: 1, Collectives: 2, Wait: 5, Last: 1, Caused: 2, Steps: []RankStep{{0, 100, 5, 1}}},
			},
		},
		{
			"no steps",
			func() []Reading {
				a, b := rankReading(0, 0, 10, 20), rankReading(1, 700, 15, 15)
				for _, r := range []*Reading{&a, &b} {
					r.Trace.Steps = nil
					for i := range r.Collectives {
						r.Collectives[i].Step = -1
					}
				}
				return []Reading{a, b}
			},
			[]RankSkew{{File: "rank0", Collectives: 2, Wait: 5, Last: 1, Caused: 5}, {File: "rank1", Rank: 1, Collectives: 2, Wait: 5, Last: 1, Caused: 5}},
		},
		{
			"of one host, but never in it at the same time: not the same collective",
			func() []Reading {
				a, b := rankReading(0, 0, 10), rankReading(1, 3*clockSlack, 15)
				a.Trace.Host, b.Trace.Host = "host", "host"
				return []Reading{a, b}
			},
			nil,
		},
		{
			"replicas that both say that they are rank 0",
			func() []Reading { return []Reading{rankReading(0, 0, 10), rankReading(0, 0, 10)} }, nil,
		},
		{
			"world sizes differ",
			func() []Reading {
				other := rankReading(1, 0, 10)
				*other.Trace.WorldSize = 4
				return []Reading{rankReading(0, 0, 10), other}
			}, nil,
		},
		{
			"one without collectives",
			func() []Reading {
				other := rankReading(1, 0, 10)
				other.Collectives = nil
				return []Reading{rankReading(0, 0, 10), other}
			}, nil,
		},
		{
			"ranks that are not told",
			func() []Reading {
				a, b := rankReading(0, 0, 10), rankReading(1, 0, 20)
				a.Trace.Rank, b.Trace.Rank, a.Trace.WorldSize, b.Trace.WorldSize = nil, nil, nil, nil
				return []Reading{a, b}
			},
			[]RankSkew{
				{File: "rank0", Rank: NotKnown, Collectives: 1, Last: 1, Caused: 10, Steps: []RankStep{{0, 100, 0, 1}}},
				{File: "rank1", Rank: NotKnown, Collectives: 1, Wait: 10, Steps: []RankStep{{0, 100, 10, 0}}},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, ranks(c.readings())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRanksHostile: whatever the readings say, nothing panics or wraps, no wait is
// negative, and what the ranks caused is what the others waited.
func TestRanksHostile(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	numbers := []int64{math.MinInt64, math.MinInt64 + 1, -5, -1, 0, 1, 7, 1 << 40, math.MaxInt64 - 1, math.MaxInt64}
	pick := func() int64 { return numbers[random.IntN(len(numbers))] }
	matched := 0
	for range 20_000 {
		readings := make([]Reading, 1+random.IntN(4))
		small := random.IntN(2) == 0
		for i := range readings {
			r := &readings[i]
			r.Trace.Rank = &i
			if random.IntN(2) == 0 {
				r.Trace.Host = "host"
			}
			for n := range random.IntN(4) {
				r.Trace.Steps = append(r.Trace.Steps, Step{Index: n, Name: string(rune('a' + random.IntN(2))), Start: pick(), Duration: pick()})
			}
			for range random.IntN(5) {
				c := Collective{Name: string(rune('a' + random.IntN(2))), Step: random.IntN(6) - 2, Start: pick(), End: pick()}
				if small {
					c.Start, c.End = random.Int64N(100), random.Int64N(100)
				}
				r.Collectives = append(r.Collectives, c)
			}
		}
		var wait, caused int64
		last, collectives := 0, 0
		for _, r := range ranks(readings) {
			matched++
			if r.Wait < 0 || r.Caused < 0 {
				t.Fatalf("negative: %+v of %+v", r, readings)
			}
			var inSteps int64
			for _, s := range r.Steps {
				if s.Wait < 0 || s.Duration < 0 {
					t.Fatalf("negative: %+v of %+v", r, readings)
				}
				inSteps = plus(inSteps, s.Wait)
			}
			if inSteps > r.Wait {
				t.Fatalf("the steps' waits are more than the whole: %+v", r)
			}
			wait, caused, last, collectives = plus(wait, r.Wait), plus(caused, r.Caused), last+r.Last, r.Collectives
		}
		if wait != caused || last > collectives {
			t.Fatalf("waited %d, caused %d; %d times last in %d collectives: %+v", wait, caused, last, collectives, readings)
		}
	}
	if matched < 1000 {
		t.Errorf("only %d ranks were matched: the test says little", matched)
	}
}

// readingOf makes a reading of a host's trace without the rest of the package.
func readingOf(t *testing.T, path string) Reading {
	t.Helper()
	c := columns(t, path)
	r := Reading{Trace: Trace{File: filepath.Base(path), Host: c.Summary.Host, Rank: c.Summary.Rank, WorldSize: c.Summary.WorldSize}}
	for i, p := range c.Summary.Passes {
		r.Trace.Steps = append(r.Trace.Steps, Step{Index: i, Name: p.Name, Start: p.Start, Duration: p.End - p.Start})
	}
	r.Collectives = hostCollectives(c, r.Trace.Steps)
	return r
}

func TestIsHostCollective(t *testing.T) {
	for name, want := range map[string]bool{
		"gloo:all_reduce": true, "_C::shm_allreduce": true, "_C::shm_all_gather": true, "sgl_kernel::shm_allreduce": true,
		"c10d::allreduce_": false, "record_param_comms": false, "vllm::all_reduce": false, "nccl:all_reduce": false, "": false,
	} {
		if got := isHostCollective(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// TestRanksOfTraces are the groups that were recorded, each of two ranks.
func TestRanksOfTraces(t *testing.T) {
	for _, c := range []struct {
		dir                string
		collectives, steps int // 0: not ranks of one group
	}{
		{"vllm-cpu/v0.32.0-tp2", 50, 5},
		{"vllm-cpu/v0.32.0-dp2", 0, 0},
		{"sglang-cpu/0523-tp2-num5", 491, 5},
		{"sglang-cpu/0523-dp2-num5", 0, 0},
	} {
		t.Run(c.dir, func(t *testing.T) {
			if testing.Short() {
				t.Skip("reads shared traces: under the race detector that takes minutes")
			}
			paths, err := filepath.Glob(filepath.Join(shared(t, c.dir), "*.json.gz"))
			if err != nil || len(paths) != 2 {
				t.Fatal(paths, err)
			}
			readings := []Reading{readingOf(t, paths[0]), readingOf(t, paths[1])}
			t.Logf("%d and %d collectives", len(readings[0].Collectives), len(readings[1].Collectives))
			rows := ranks(readings)
			for _, r := range rows {
				t.Logf("%+v", r)
			}
			if c.collectives == 0 {
				if rows != nil {
					t.Errorf("%+v, want nothing", rows)
				}
				return
			}
			if len(rows) != 2 || rows[0].Rank != 0 || rows[1].Rank != 1 || rows[0].Collectives != c.collectives || len(rows[0].Steps) != c.steps {
				t.Errorf("%+v, want two ranks with %d collectives in %d steps", rows, c.collectives, c.steps)
			}
		})
	}
}

func BenchmarkRanks(b *testing.B) {
	const collectives = 200_000
	readings := make([]Reading, 2)
	for i := range readings {
		readings[i] = rankReading(i, 0, make([]int64, 1000)...)
		readings[i].Collectives = nil
		for n := range int64(collectives) {
			readings[i].Collectives = append(readings[i].Collectives, Collective{Name: "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", Step: int(n / 200), Start: 10 * n, End: 10*n + 5})
		}
	}
	for b.Loop() {
		if ranks(readings) == nil {
			b.Fatal("nothing matched")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(2*collectives), "ns/collective")
}
