package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// maxUnpacked is the most that an image may take on a node, in bytes.
const maxUnpacked = 60_000_000

// larger are those that may take more. The history server is an API server with two databases in it.
var larger = map[string]int64{"history": 85_000_000}

func TestConfig(t *testing.T) {
	eachImage(t, func(t *testing.T, command, arch string) {
		image := openImage(t, command, arch)
		if err := validate.Image(image); err != nil {
			t.Error(err)
		}
		got, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		wantLabels := map[string]string{
			"org.opencontainers.image.title":         "tegata-" + command,
			"org.opencontainers.image.description":   "The " + command + " of Tegata, an operator for the users of remote-access relays",
			"org.opencontainers.image.version":       "v1.2.3",
			"org.opencontainers.image.revision":      "0123abc",
			"org.opencontainers.image.created":       "2023-11-14T22:13:20Z",
			"org.opencontainers.image.source":        "https://github.com/tegata-dev/tegata",
			"org.opencontainers.image.documentation": "https://github.com/tegata-dev/tegata/tree/main/docs",
			"org.opencontainers.image.licenses":      "Apache-2.0",
			"org.opencontainers.image.vendor":        "The Tegata authors",
		}
		want := v1.Config{User: "65532:65532", Entrypoint: []string{"/" + command}, WorkingDir: "/", Labels: wantLabels}
		if diff := cmp.Diff(want, got.Config); diff != "" {
			t.Errorf("config (-want +got):\n%s", diff)
		}
		if platform := got.OS + "/" + got.Architecture; platform != "linux/"+arch {
			t.Errorf("made for %s", platform)
		}
		if got := got.Created.UTC().Format("2006-01-02T15:04:05Z"); got != wantLabels["org.opencontainers.image.created"] {
			t.Errorf("created %s", got)
		}
		manifest, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantLabels, manifest.Annotations); diff != "" {
			t.Errorf("annotations (-want +got):\n%s", diff)
		}
		unpacked, packed, err := sizes(image)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%.1f MB, %.1f MB packed", float64(unpacked)/1e6, float64(packed)/1e6)
		if limit := max(maxUnpacked, larger[command]); unpacked > limit {
			t.Errorf("%d bytes, want at most %d", unpacked, limit)
		}
	})
}

// root is the file system of a container.
func root(t *testing.T, command, arch string) string {
	t.Helper()
	content := mutate.Extract(openImage(t, command, arch))
	defer content.Close()
	return unpack(t, content)
}

// TestFiles lists all that is in an image, and who may do what with it.
func TestFiles(t *testing.T) {
	eachImage(t, func(t *testing.T, command, arch string) {
		content := mutate.Extract(openImage(t, command, arch))
		defer content.Close()
		got := map[string]string{}
		for reader := tar.NewReader(content); ; {
			header, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got[header.Name] = header.FileInfo().Mode().String()
			if header.Uid != 0 || header.Gid != 0 || !header.ModTime.Equal(testSettings("").created) {
				t.Errorf("%s is of %d:%d and from %s", header.Name, header.Uid, header.Gid, header.ModTime)
			}
		}
		sbom := "var/lib/db/sbom/tegata-" + command + ".cdx.json"
		want := map[string]string{
			command: "-rwxr-xr-x",
			"etc":   "drwxr-xr-x", "etc/passwd": "-rw-r--r--", "etc/group": "-rw-r--r--",
			"etc/ssl": "drwxr-xr-x", "etc/ssl/certs": "drwxr-xr-x", "etc/ssl/certs/ca-certificates.crt": "-rw-r--r--",
			"tmp": "dtrwxrwxrwx",
			"var": "drwxr-xr-x", "var/lib": "drwxr-xr-x", "var/lib/db": "drwxr-xr-x", "var/lib/db/sbom": "drwxr-xr-x",
			sbom: "-rw-r--r--",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		compareFiles(t, filepath.Join(root(t, command, arch), sbom), filepath.Join(archives(t), "tegata-"+command+"-"+arch+".cdx.json"))
	})
}

func compareFiles(t *testing.T, one, other string) {
	t.Helper()
	a, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s is not %s", one, other)
	}
}

// TestStatic: the program is of the architecture that the image names, and needs no loader and no library.
func TestStatic(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	eachImage(t, func(t *testing.T, command, arch string) {
		program, err := elf.Open(filepath.Join(root(t, command, arch), command))
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close() //nolint:errcheck // it is only read
		if program.Machine != machines[arch] {
			t.Errorf("for %s", program.Machine)
		}
		for _, segment := range program.Progs {
			if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
				t.Errorf("it has a segment %s", segment.Type)
			}
		}
	})
}

// TestSize: a program that has lost the tag grpcnotrace is a quarter larger, and so is one in which something else calls
// methods by name. docs/install.md states the sizes.
func TestSize(t *testing.T) {
	bounds := map[string]int64{"manager": 50e6, "sidecar": 45e6, "history": 60e6}
	eachImage(t, func(t *testing.T, command, arch string) {
		unpacked, _, err := sizes(openImage(t, command, arch))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%.1f MB", float64(unpacked)/1e6)
		if unpacked > bounds[command] {
			t.Errorf("it is %d bytes, more than %d", unpacked, bounds[command])
		}
	})
}

// TestAuthorities: whoever reads the file finds certificates that sign, and some that everybody knows.
func TestAuthorities(t *testing.T) {
	rest, names := authorities(), ""
	count := 0
	for ; len(rest) > 0; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatal("there is something else than PEM")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !certificate.IsCA {
			t.Errorf("%s is no authority", certificate.Subject)
		}
		names += certificate.Subject.String() + "\n"
	}
	if count < 100 {
		t.Errorf("%d authorities only", count)
	}
	for _, want := range []string{"ISRG Root X1", "DigiCert Global Root G2", "Amazon Root CA 1", "GTS Root R1"} {
		if !strings.Contains(names, "CN="+want+",") {
			t.Errorf("%s is missing", want)
		}
	}
}
