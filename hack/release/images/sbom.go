package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
	packageurl "github.com/package-url/packageurl-go"
)

// rootsModule is where the certificate authorities of the common layer come from.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// describe makes the SBOM of a program, by what the linker has put into it: that is what is there, not what go.mod
// would permit. Time and serial number follow from the build, so that the SBOM is the same each time.
func describe(s *settings, command, program string) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(binary)
	roots, err := ownDependency(rootsModule)
	if err != nil {
		return nil, err
	}
	bom := cdx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, sum[:]).URN()
	bom.Metadata = &cdx.Metadata{
		Timestamp: s.created.Format(time.RFC3339),
		Component: subject(s, command, info, sum),
	}
	components := []cdx.Component{library("std", strings.TrimPrefix(info.GoVersion, "go"), "", "the standard library of Go, which the program is built with")}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		components = append(components, library(module.Path, module.Version, module.Sum, ""))
	}
	components = append(components, library(roots.Path, roots.Version, roots.Sum, "the certificate authorities in the image"))
	bom.Components = &components

	var out bytes.Buffer
	err = cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}

func subject(s *settings, command string, info *debug.BuildInfo, sum [sha256.Size]byte) *cdx.Component {
	var properties []cdx.Property
	for _, setting := range info.Settings {
		properties = append(properties, cdx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
	}
	purl := packageURL(info.Main.Path, s.version) + "#cmd/" + command
	return &cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeApplication, Name: "tegata-" + command, Version: s.version, PackageURL: purl,
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		Properties: &properties,
	}
}

// library is a module. Its checksum in go.sum is of a list of files, so it is told as go.sum tells it, not as a hash.
func library(path, version, sum, description string) cdx.Component {
	purl := packageURL(path, version)
	component := cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl, Description: description,
	}
	if sum != "" {
		component.Properties = &[]cdx.Property{{Name: "go:sum", Value: sum}}
	}
	return component
}

func packageURL(path, version string) string {
	namespace, name := "", path
	if i := strings.LastIndex(path, "/"); i >= 0 {
		namespace, name = path[:i], path[i+1:]
	}
	return packageurl.NewPackageURL(packageurl.TypeGolang, namespace, name, version, nil, "").ToString()
}

// ownDependency is a module that this program itself is built with.
func ownDependency(path string) (*debug.Module, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, fmt.Errorf("this program does not know what it is built with")
	}
	for _, module := range info.Deps {
		if module.Path == path {
			return module, nil
		}
	}
	return nil, fmt.Errorf("this program is not built with %s", path)
}
