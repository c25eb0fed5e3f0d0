package postgres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

var errConnString = errors.New("the history database's connection string is neither a URL as postgres://user@host/database " +
	"nor pairs as \"host=… user=… dbname=…\"; in a URL, / @ % ? of a password are written %2F %40 %25 %3F; " +
	"the string is not shown, because it may hold a password")

// errCommit: what the database acknowledged would be lost with the machine.
var errCommit = errors.New("the history database's connection string sets synchronous_commit to a value that loses what was acknowledged")

// parse reads a connection string. The library's own error shows the string, with what looks like a password left
// out; what is malformed may not look like one.
func parse(connString string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(strings.TrimSpace(connString)) // a file often ends in a newline
	if err != nil {
		return nil, errConnString
	}
	settings := config.ConnConfig.RuntimeParams
	for name, value := range defaults {
		if _, ok := settings[name]; !ok {
			settings[name] = value
		}
	}
	// What waited for the lock must see what was written meanwhile, whatever the database's default is.
	settings["default_transaction_isolation"] = "read committed"
	switch settings["synchronous_commit"] {
	case "on", "remote_apply":
	default:
		return nil, fmt.Errorf("%w: %q", errCommit, settings["synchronous_commit"])
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	return config, nil
}

const connectTimeout = 10 * time.Second

// defaults are the settings of each connection where its string says nothing else.
var defaults = map[string]string{
	"application_name":   "tegata-history",
	"statement_timeout":  strconv.FormatInt(statementTimeout.Milliseconds(), 10),
	"synchronous_commit": "on",
	"timezone":           "UTC",
	// A history server that was cut off while it held the lock must not keep the others from writing.
	"idle_in_transaction_session_timeout": "20000",
	"tcp_user_timeout":                    "20000",
	// Each statement is written for one plan, by index, which must not change with what the planner believes of a new
	// month, and is made once.
	"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off",
	"plan_cache_mode": "force_generic_plan",
}
