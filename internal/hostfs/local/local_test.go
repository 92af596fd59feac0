package local_test

import (
	"testing"

	"go.uber.org/goleak"

	"profjob/internal/hostfs"
	"profjob/internal/hostfs/hostfstest"
	"profjob/internal/hostfs/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	hostfstest.Run(t, func(t *testing.T, root string) hostfs.FS { return local.New(root) })
}
