package shell

import (
	"context"
	"errors"

	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

// Confirm asks whether something is to be done, unless yes says so already. A no, and that there is nobody to ask, is an
// error.
func (s *Shell) Confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	yes, err := screen.Confirm(ctx, s.In, s.ErrOut, question)
	switch {
	case errors.Is(err, screen.ErrNobody):
		return Usage(err)
	case err != nil:
		return err
	case !yes:
		return Exitf(Declined, "nothing was changed")
	}
	return nil
}
