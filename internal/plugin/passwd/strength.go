package passwd

import (
	"fmt"

	"github.com/ccojocar/zxcvbn-go"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// minScore is zxcvbn's "safely unguessable: moderate protection from offline slow-hash scenario".
const minScore = 3

// maxJudged is how much of a password is judged: the time grows with the square of the length, and what is so long
// is strong by then.
const maxJudged = 100

// checkStrength refuses a password that is easily guessed by who knows the user's names. Its error does not quote it.
func checkStrength(plain []byte, user *v1alpha1.RelayUser) error {
	runes := []rune(string(plain))
	judged := string(runes[:min(len(runes), maxJudged)])
	found := zxcvbn.PasswordStrength(judged, []string{user.Name, user.LoginName(), user.Spec.ServerRef.Name, "tegata"})
	if found.Score >= minScore {
		return nil
	}
	return fmt.Errorf("the password is easily guessed (strength %d of 4; %d is asked for): nothing was changed. "+
		"Take several words or more characters, or give --allow-weak", found.Score, minScore)
}
