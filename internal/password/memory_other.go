//go:build !unix

package password

import "errors"

func mapMemory(int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapMemory([]byte) {}

func asBlocks([]byte) []block { return nil }

func asBytes([]block) []byte { return nil }
