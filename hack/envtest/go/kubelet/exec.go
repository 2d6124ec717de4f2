package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// pod runs commands as if inside one container: own working directory, own environment, the pod's host name.
type pod struct {
	name    string
	scratch string
	log     logFile
}

func (k *kubelet) podOf(r *http.Request) *pod {
	scratch := filepath.Join(k.dir, r.PathValue("ns")+"_"+r.PathValue("pod"))
	return &pod{name: r.PathValue("pod"), scratch: scratch, log: logFile{path: k.logName(r) + ".log", unstamped: k.started}}
}

// ExecInContainer ends when the command does, and reports its exit code.
func (p *pod) ExecInContainer(ctx context.Context, _, _, _ string, argv []string, in io.Reader, out, stderr io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if len(argv) == 0 {
		return errors.New("no command given")
	}
	if err := os.MkdirAll(p.scratch, 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = p.scratch
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.scratch, "HOSTNAME=" + p.name}
	if tty {
		return exitCode(runTerminal(cmd, in, out, resize))
	}
	return exitCode(runPipes(cmd, in, out, stderr))
}

// AttachContainer stands for a container whose process echoes its stdin, or who without stdin only writes its log.
func (p *pod) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, stderr io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	if in != nil {
		return p.ExecInContainer(ctx, "", "", "", []string{"cat"}, in, out, stderr, tty, resize, 0)
	}
	none := int64(0)
	return p.log.copyTo(ctx, out, func() {}, logOptions{follow: true, tailLines: &none})
}

func runPipes(cmd *exec.Cmd, in io.Reader, out, stderr io.Writer) error {
	// Only streams that the client asked for: a nil interface sends the output to /dev/null.
	if out != nil {
		cmd.Stdout = out
	}
	if stderr != nil {
		cmd.Stderr = stderr
	}
	if in == nil {
		return cmd.Run()
	}
	// Not cmd.Stdin: Wait would then also wait for the client to close its end, after the command is gone.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer stdin.Close()
		_, _ = io.Copy(stdin, in)
	}()
	return cmd.Wait()
}

func runTerminal(cmd *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	cmd.Env = append(cmd.Env, "TERM=xterm")
	terminal, err := pty.Start(cmd)
	if err != nil {
		return err
	}
	// Closing the terminal hangs up on the command, so a client that leaves ends it.
	defer terminal.Close()
	go func() {
		for size := range resize {
			_ = pty.Setsize(terminal, &pty.Winsize{Cols: size.Width, Rows: size.Height})
		}
	}()
	if in != nil {
		go func() {
			_, _ = io.Copy(terminal, in)
			// A terminal has no half-close; its end of input is the character ^D.
			_, _ = terminal.Write([]byte{4})
		}()
	}
	if out != nil {
		// The read fails with EIO when the last process on the terminal is gone.
		var gone *os.PathError
		if _, err := io.Copy(out, terminal); err != nil && !errors.As(err, &gone) {
			_ = terminal.Close()
			_ = cmd.Process.Kill()
		}
	}
	return cmd.Wait()
}

// exitCode turns the end of a process into what remotecommand reports: as a shell does, 128+n for signal n.
func exitCode(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	code := exit.ExitCode()
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return utilexec.CodeExitError{Err: fmt.Errorf("exit code %d", code), Code: code}
}
