// Types a line into Argo CD's web terminal and ends with 0 once the answer says what was asked for.
//
//	terminal ws://127.0.0.1:8080/terminal?pod=… <token> <line> <expected>
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

type message struct {
	Operation string `json:"operation"`
	Data      string `json:"data"`
	Rows      uint16 `json:"rows"`
	Cols      uint16 `json:"cols"`
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: terminal <url> <token> <line> <expected>")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url, token, line, expected string) error {
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	conn, answer, err := dialer.Dial(url, http.Header{"Cookie": {"argocd.token=" + token}})
	if err != nil {
		if answer != nil {
			return fmt.Errorf("%w: %s", err, answer.Status)
		}
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return err
	}
	for _, said := range []message{{Operation: "resize", Rows: 40, Cols: 132}, {Operation: "stdin", Data: line + "\r"}} {
		if err := conn.WriteJSON(said); err != nil {
			return err
		}
	}
	var seen strings.Builder
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("%w, after %q", err, seen.String())
		}
		var said message
		if err := json.Unmarshal(frame, &said); err != nil {
			return fmt.Errorf("%w: %q", err, frame)
		}
		seen.WriteString(said.Data)
		if strings.Contains(seen.String(), expected) {
			return conn.WriteJSON(message{Operation: "stdin", Data: "exit\r"})
		}
	}
}
