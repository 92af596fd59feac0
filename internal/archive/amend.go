package archive

import (
	"fmt"
	"os"
)

// Amend writes the manifest of a sealed run again, whole or not at all: for what
// became of the run after it was sealed. m is the run's own manifest, with the
// files that Seal listed. After an error the older manifest is there.
func Amend(d *Dir, m *Manifest) error {
	if !d.sealed {
		return fmt.Errorf("amend manifest: %s is not sealed", d.Path())
	}
	there, err := exists(d.Join(manifestName))
	if err == nil && !there { // packed or removed: a directory with a manifest alone would be no run
		err = fmt.Errorf("%s is not there", d.Join(manifestName))
	}
	if err == nil {
		err = writeManifest(d, m)
	}
	if err != nil {
		return fmt.Errorf("amend manifest: %w", err)
	}
	return nil
}

// writeManifest writes manifest.json into the run's directory.
func writeManifest(d *Dir, m *Manifest) error {
	data, err := m.Encode()
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	if len(data) > maxManifest {
		return fmt.Errorf("the manifest has %d bytes, %d are the limit", len(data), maxManifest)
	}
	if err := d.WriteFile(manifestName, data); err != nil {
		return err
	}
	return os.Chmod(d.Join(manifestName), d.files())
}
