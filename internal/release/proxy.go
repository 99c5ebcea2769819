package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	modpath "golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// writeProxy lays the released modules out below dir as a module proxy has them
// (https://go.dev/ref/mod#goproxy-protocol), so that GOPROXY=file://dir serves
// the tree as users will get it.
func (t *tree) writeProxy(dir, version string) error {
	for _, m := range t.released() {
		if err := t.writeModule(dir, m, version); err != nil {
			return fmt.Errorf("release: %s: %w", m.path, err)
		}
	}
	return nil
}

func (t *tree) writeModule(dir string, m *module, version string) (err error) {
	escaped, err := modpath.EscapePath(m.path)
	if err != nil {
		return err
	}
	at := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, time.Unix(0, 0).UTC()})
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(t.join(m.dir, "go.mod"))
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info, version + ".mod": mod} {
		if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		return err
	}
	if err := zip.CreateFromDir(f, modpath.Version{Path: m.path, Version: version}, t.join(m.dir)); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
