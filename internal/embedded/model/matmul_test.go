package model

import (
	"math/rand/v2"
	"testing"
)

func TestProductIsTheSameForEveryPartition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const k, cols = 36, 23
	w := matrix(rng, cols, k, 1)
	for rows := 1; rows <= 5; rows++ {
		x := matrix(rng, rows, k, 1)
		whole := make([]float32, rows*cols)
		product(whole, x, w, rows, k, cols, 0, cols)
		split := make([]float32, rows*cols)
		product(split, x, w, rows, k, cols, 0, 9)
		product(split, x, w, rows, k, cols, 9, cols)
		for r := range rows {
			alone := make([]float32, cols)
			product(alone, x[r*k:(r+1)*k], w, 1, k, cols, 0, cols)
			for c := range cols {
				want := dot(x[r*k:(r+1)*k], w[c*k:(c+1)*k])
				for name, got := range map[string]float32{"whole": whole[r*cols+c], "split": split[r*cols+c], "alone": alone[c]} {
					if got != want {
						t.Errorf("%d rows, %s: row %d column %d is %v, want %v", rows, name, r, c, got, want)
					}
				}
			}
		}
	}
}

func BenchmarkProduct4Rows(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, k, cols = 4, 256, 1024
	w, x, y := matrix(rng, cols, k, 1), matrix(rng, rows, k, 1), make([]float32, rows*cols)
	b.SetBytes(rows * k * cols)
	for b.Loop() {
		product(y, x, w, rows, k, cols, 0, cols)
	}
}
