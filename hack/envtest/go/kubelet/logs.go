package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// pollInterval is how late a followed line may be. Polling is dull, and works on every file system.
const pollInterval = 10 * time.Millisecond

// logFile is what a test writes: one entry per line, with an RFC 3339 time in front or without.
type logFile struct {
	path string
	// unstamped is the time of the lines that carry none.
	unstamped time.Time
}

type logOptions struct {
	follow     bool
	timestamps bool
	tailLines  *int64
	limitBytes *int64
	since      time.Time
}

func parseLogOptions(query url.Values) (logOptions, error) {
	opts := logOptions{follow: query.Get("follow") == "true", timestamps: query.Get("timestamps") == "true"}
	for name, field := range map[string]**int64{"tailLines": &opts.tailLines, "limitBytes": &opts.limitBytes} {
		if text := query.Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return opts, fmt.Errorf("%s: %w", name, err)
			}
			*field = &n
		}
	}
	if text := query.Get("sinceSeconds"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return opts, fmt.Errorf("sinceSeconds: %w", err)
		}
		opts.since = time.Now().Add(-time.Duration(n) * time.Second)
	}
	if text := query.Get("sinceTime"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return opts, fmt.Errorf("sinceTime: %w", err)
		}
		opts.since = since
	}
	return opts, nil
}

func (k *kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	opts, err := parseLogOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	file := logFile{path: k.logName(r) + ".log", unstamped: k.started}
	if r.URL.Query().Get("previous") == "true" {
		file.path = k.logName(r) + ".previous.log"
		if _, err := os.Stat(file.path); err != nil {
			http.Error(w, fmt.Sprintf("previous terminated container %q in pod %q not found", r.PathValue("container"), r.PathValue("pod")), http.StatusBadRequest)
			return
		}
	}
	// A client of a silent container must see its headers now, not with the first line.
	flush := w.(http.Flusher).Flush
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	flush()
	_ = file.copyTo(r.Context(), w, flush, opts)
}

// copyTo writes what the options select. A follow goes on until the client leaves, the limit is reached, or the file
// is removed, which is how a test ends a container.
func (l logFile) copyTo(ctx context.Context, w io.Writer, flush func(), opts logOptions) error {
	out := &lineWriter{w: w, opts: opts, unstamped: l.unstamped}
	file, err := os.Open(l.path)
	if err != nil {
		startup := "starting\nlistening on port 8080\nready\n"
		_, err := out.history(bufio.NewReader(strings.NewReader(startup)))
		flush()
		if err != nil || !opts.follow || out.full() {
			return err
		}
		if file, err = l.await(ctx); err != nil {
			return err
		}
		out.opts.tailLines = nil
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 64<<10)
	rest, err := out.history(reader)
	flush()
	for err == nil && opts.follow && !out.full() {
		var more string
		more, err = reader.ReadString('\n')
		rest += more
		switch {
		case err == nil:
			out.unstamped = time.Now()
			err = out.line(rest)
			rest = ""
			if reader.Buffered() == 0 {
				flush()
			}
		case err == io.EOF:
			flush()
			if _, gone := os.Stat(l.path); gone != nil {
				return nil
			}
			err = pause(ctx)
		}
	}
	return err
}

// await opens the file once it exists.
func (l logFile) await(ctx context.Context) (*os.File, error) {
	for {
		if file, err := os.Open(l.path); err == nil {
			return file, nil
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pollInterval):
		return nil
	}
}

type lineWriter struct {
	w         io.Writer
	opts      logOptions
	unstamped time.Time
	written   int64
}

func (o *lineWriter) full() bool {
	return o.opts.limitBytes != nil && o.written >= *o.opts.limitBytes
}

// history writes the lines that are there, or the last of them. Of a follow it returns the beginning of the line that
// is not finished yet; otherwise that is a line like any other.
func (o *lineWriter) history(from *bufio.Reader) (string, error) {
	var tail []string
	for !o.full() {
		line, err := from.ReadString('\n')
		ended := err == io.EOF
		if err != nil && !ended {
			return "", err
		}
		if ended && (o.opts.follow || line == "") {
			return line, o.lines(tail)
		}
		if o.opts.tailLines == nil {
			if err := o.line(line); err != nil {
				return "", err
			}
		} else if tail = append(tail, line); int64(len(tail)) > *o.opts.tailLines {
			tail = tail[1:]
		}
		if ended {
			return "", o.lines(tail)
		}
	}
	return "", nil
}

func (o *lineWriter) lines(lines []string) error {
	for _, line := range lines {
		if err := o.line(line); err != nil {
			return err
		}
	}
	return nil
}

func (o *lineWriter) line(line string) error {
	at, text := o.unstamped, line
	if stamp, rest, ok := strings.Cut(line, " "); ok {
		if parsed, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			at, text = parsed, rest
		}
	}
	if at.Before(o.opts.since) {
		return nil
	}
	if o.opts.timestamps {
		text = at.UTC().Format(time.RFC3339Nano) + " " + text
	}
	if o.opts.limitBytes != nil && int64(len(text)) > *o.opts.limitBytes-o.written {
		text = text[:*o.opts.limitBytes-o.written]
	}
	n, err := io.WriteString(o.w, text)
	o.written += int64(n)
	return err
}
