package cluster

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Image is one that is made of files of this machine, static programs all of them, and of nothing else: no registry is asked.
type Image struct {
	Tags       []string // names with versions
	Entrypoint []string
	User       string            // empty: root
	Files      map[string]string // from path in the image to file on this machine
}

// epoch is when all of an image was made, so that the same files make the same image.
var epoch = time.Unix(0, 0).UTC()

// Write writes it in the form of `docker save`, which containerd's ctr imports. The layer goes through a temporary file: its hash stands
// before it.
func (i Image) Write(w io.Writer) error {
	layer, err := os.CreateTemp("", "weft-layer-")
	if err != nil {
		return err
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	h := sha256.New()
	if err := i.writeLayer(io.MultiWriter(layer, h)); err != nil {
		return err
	}
	size, err := layer.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return i.writeArchive(w, layer, size, fmt.Sprintf("sha256:%x", h.Sum(nil)))
}

func (i Image) writeArchive(w io.Writer, layer io.Reader, size int64, digest string) error {
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": epoch,
		"config":  map[string]any{"Entrypoint": i.Entrypoint, "Env": []string{"PATH=/bin:/"}, "WorkingDir": "/", "User": i.User},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{digest}},
		"history": []any{map[string]any{"created": epoch}},
	})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]any{map[string]any{"Config": name, "RepoTags": i.Tags, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	for _, part := range []struct {
		name string
		size int64
		from io.Reader
	}{
		{"manifest.json", int64(len(manifest)), strings.NewReader(string(manifest))},
		{name, int64(len(config)), strings.NewReader(string(config))},
		{"layer.tar", size, layer},
	} {
		if err := addFile(out, part.name, 0o644, part.size, part.from); err != nil {
			return err
		}
	}
	return out.Close()
}

func (i Image) writeLayer(w io.Writer) error {
	out, made := tar.NewWriter(w), map[string]bool{}
	for _, dir := range []struct {
		name string
		mode int64
	}{{"tmp", 0o1777}, {"etc", 0o755}} { // kubelet mounts files in /etc
		if err := addDir(out, made, dir.name, dir.mode); err != nil {
			return err
		}
	}
	for _, to := range slices.Sorted(maps.Keys(i.Files)) {
		name := strings.TrimPrefix(to, "/")
		if err := addDir(out, made, path.Dir(name), 0o755); err != nil {
			return err
		}
		f, err := os.Open(i.Files[to])
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil {
			err = addFile(out, name, 0o755, info.Size(), f)
		}
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", i.Files[to], err)
		}
	}
	return out.Close()
}

// addDir adds those above it first.
func addDir(out *tar.Writer, made map[string]bool, name string, mode int64) error {
	if name == "." || made[name] {
		return nil
	}
	if err := addDir(out, made, path.Dir(name), 0o755); err != nil {
		return err
	}
	made[name] = true
	return out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: epoch})
}

func addFile(out *tar.Writer, name string, mode, size int64, from io.Reader) error {
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size, ModTime: epoch}); err != nil {
		return err
	}
	_, err := io.Copy(out, from)
	return err
}
