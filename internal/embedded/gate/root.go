package gate

import (
	"fmt"
	"os"
	"path/filepath"
)

// openRoot gives the folder that files are written to: of this user, no link,
// closed to others. It is made if need be.
func openRoot(dir string) (string, error) {
	if dir == "" {
		dir = fmt.Sprintf("/tmp/profjob-gate-%d", os.Geteuid())
	}
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("PROFJOB_GATE_ROOT: %s is not an absolute path", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is a link or no folder", dir)
	}
	if owner, ok := ownerOf(info); ok && owner != os.Geteuid() {
		return "", fmt.Errorf("%s belongs to user %d, not to this server's %d", dir, owner, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("%s can be written by others (mode %o)", dir, info.Mode().Perm())
	}
	return dir, nil
}
