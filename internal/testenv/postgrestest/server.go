package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/testenv/spawner"
)

// Options are how a server is started.
type Options struct {
	// Durable has it wait for the disk, as a server in production does. Without it, what a SIGKILL leaves behind is
	// whole all the same, because the kernel lives on.
	Durable bool
	// Settings are added to those of a new server, as postgresql.conf has them.
	Settings map[string]string
}

var errStopped = errors.New("the server is stopped")

// Server is a PostgreSQL server, a child of this process, which the kernel kills when this process dies.
type Server struct {
	dir, bin string
	owner    *owner
	settings map[string]string
	spawner  *spawner.Spawner
	created  atomic.Int64 // databases

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

const (
	startTimeout = time.Minute
	superuser    = "postgres"
	readyPoll    = 25 * time.Millisecond
)

// Start starts a new, empty server. Its error is ErrMissing where PostgreSQL is not installed.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := binDir()
	if err != nil {
		return nil, err
	}
	who, err := serverOwner()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tegata-pg-") // short: a socket's path has at most 107 bytes
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, owner: who, settings: settings(dir, o), spawner: spawner.New(errStopped)}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func settings(dir string, o Options) map[string]string {
	all := map[string]string{
		"listen_addresses": "", "unix_socket_directories": dir, "max_connections": "60", "shared_buffers": "64MB",
		"fsync": "off", "full_page_writes": "off", "log_min_messages": "warning",
		"timezone": "Pacific/Kiritimati", // as far from UTC as there is: nothing may depend on it
	}
	if o.Durable {
		all["fsync"], all["full_page_writes"] = "on", "on"
	}
	maps.Copy(all, o.Settings)
	return all
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Log is the file that the server's messages go to.
func (s *Server) Log() string { return filepath.Join(s.dir, "log") }

func (s *Server) create(ctx context.Context) error {
	if err := s.owner.own(s.dir); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata="+s.data(), "--username="+superuser,
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.owner.credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// Restart starts a server that was killed, and waits until it answers. One that runs is killed first.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		err := s.attempt(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start PostgreSQL: %w: %w\n%s", ctx.Err(), err, s.logTail())
		case <-poll.C: // what a killed server has left in shared memory is gone a moment later
		}
	}
}

// attempt starts the program unless it runs, and says whether it answers.
func (s *Server) attempt(ctx context.Context) error {
	s.mu.Lock()
	exited := s.exited
	s.mu.Unlock()
	if exited == nil || isClosed(exited) {
		if err := s.spawn(); err != nil {
			return err
		}
	}
	conn, err := pgx.Connect(ctx, s.URL(superuser))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (s *Server) spawn() error {
	args := []string{"-D", s.data()}
	for name, value := range s.settings {
		args = append(args, "-c", name+"="+value)
	}
	log, err := os.OpenFile(s.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child holds a copy; nothing is written here
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, log, log, s.owner.attributes()
	if err := s.spawner.Start(cmd); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	exited := make(chan struct{})
	s.mu.Lock()
	s.cmd, s.exited = cmd, exited
	s.mu.Unlock()
	go func() {
		_ = cmd.Wait() // how it ended is in the log
		close(exited)
	}()
	return nil
}

// Kill ends the server and its backends at once (SIGKILL), as a machine that fails. A server that has ended already
// is no error.
func (s *Server) Kill() error {
	return s.signal(func(pid int) error {
		backends := children(pid)
		err := syscall.Kill(pid, syscall.SIGKILL) // first, or it would begin to recover from the loss of the others
		for _, backend := range backends {
			err = errors.Join(err, gone(syscall.Kill(backend, syscall.SIGKILL)))
		}
		return err
	})
}

// Shutdown ends the server in an orderly way that does not wait for clients.
func (s *Server) Shutdown() error {
	return s.signal(func(pid int) error { return syscall.Kill(pid, syscall.SIGINT) })
}

// Stop shuts the server down and removes all it has kept.
func (s *Server) Stop() error {
	err := s.Kill()
	s.spawner.Close()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// signal has send end the program, and waits until it has ended.
func (s *Server) signal(send func(pid int) error) error {
	s.mu.Lock()
	cmd, exited := s.cmd, s.exited
	s.mu.Unlock()
	if cmd == nil || isClosed(exited) {
		return nil
	}
	if err := gone(send(cmd.Process.Pid)); err != nil {
		return fmt.Errorf("end PostgreSQL: %w", err)
	}
	<-exited
	return nil
}

func gone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// URL is the connection string of a database, as the superuser.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=%s", database, s.dir, superuser)
}

// NewDatabase makes an empty database and returns its connection string.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	name := fmt.Sprintf("db%d", s.created.Add(1))
	return s.URL(name), s.Exec(ctx, superuser, "CREATE DATABASE "+name)
}

// Exec runs one statement in a database as the superuser.
func (s *Server) Exec(ctx context.Context, database, statement string) error {
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func (s *Server) logTail() string {
	const lines = 20
	text, err := os.ReadFile(s.Log())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
