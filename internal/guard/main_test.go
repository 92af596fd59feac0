package guard_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"profjob/internal/guard"
)

// TestMain makes this program a guard where a test asks for one of its own process.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "guard" {
		if err := guard.Serve(context.Background(), os.Stdin, os.Stdout, guard.Options{LockDir: os.Args[2], Log: os.Stderr}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
