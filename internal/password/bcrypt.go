package password

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-crypt/x/bcrypt"
)

const (
	minBcryptCost = 8
	maxBcryptCost = 12
	// maxBcryptInput is what bcrypt takes in; the rest of a longer password would not count at all.
	maxBcryptInput = 72
	bcryptMemory   = 5 << 10

	bcryptSaltText = 22
	bcryptKeyText  = 31
)

var bcryptBase64 = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").
	WithPadding(base64.NoPadding)

type bcryptHash struct {
	cost int
	salt []byte
	key  string
}

// parseBcrypt reads what follows the version: cost$, then salt and key in one piece. The versions a, b
// and y differ in how implementations of old treated passwords of over 72 or 255 bytes, which are refused.
func parseBcrypt(text string) (scheme, error) {
	costText, rest, ok := strings.Cut(text, "$")
	if !ok || len(costText) != 2 || len(rest) != bcryptSaltText+bcryptKeyText {
		return nil, errors.New("bcrypt hash must have a cost of two digits and then 53 characters")
	}
	cost, err := number("bcrypt cost", strings.TrimPrefix(costText, "0"), minBcryptCost, maxBcryptCost)
	if err != nil {
		return nil, err
	}
	salt, err := decode("bcrypt salt", rest[:bcryptSaltText], bcryptBase64, 16, 16)
	if err != nil {
		return nil, err
	}
	key := rest[bcryptSaltText:]
	if _, err := decode("bcrypt key", key, bcryptBase64, 23, 23); err != nil {
		return nil, err
	}
	return &bcryptHash{cost: cost, salt: salt, key: key}, nil
}

func (h *bcryptHash) algorithm() Algorithm { return Bcrypt }

func (h *bcryptHash) memoryBytes() int64 { return bcryptMemory }

func (h *bcryptHash) match(input []byte, _ *arena) bool {
	whole := len(input) <= maxBcryptInput
	if !whole {
		input = input[:maxBcryptInput]
	}
	key, err := bcrypt.Key(input, h.salt, h.cost)
	return err == nil && subtle.ConstantTimeCompare(key, []byte(h.key)) == 1 && whole
}
