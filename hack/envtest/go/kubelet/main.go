// Command kubelet is the endpoint that kube-apiserver calls for logs, exec, attach and port-forward.
//
// Nodes and pods of the test cluster are kept alive by kwok, whose own exec never closes stdin and loses exit codes.
// This endpoint runs real local commands instead, each in a scratch directory of its pod, and serves logs from files
// that a test writes. It trusts whoever holds a client certificate of the cluster's CA, so it must only listen on
// loopback.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// Idle streams live long: tests of watches and shells decide themselves when to hang up.
const (
	idleTimeout     = 4 * time.Hour
	creationTimeout = 30 * time.Second
)

type kubelet struct {
	dir     string
	started time.Time
}

func main() {
	dir := flag.String("dir", "", "directory of log files and scratch directories")
	cert := flag.String("tls-cert-file", "", "serving certificate")
	key := flag.String("tls-private-key-file", "", "key of the serving certificate")
	clientCA := flag.String("client-ca-file", "", "CA of the clients that may call")
	portFile := flag.String("port-file", "", "file that receives the port once it is bound")
	flag.Parse()

	tlsConfig, err := serverTLS(*cert, *key, *clientCA)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := announce(*portFile, listener.Addr().(*net.TCPAddr).Port); err != nil {
		log.Fatal(err)
	}
	k := &kubelet{dir: *dir, started: time.Now()}
	// No HTTP/2: exec, attach and port-forward upgrade the connection, which HTTP/2 has no word for.
	server := &http.Server{Handler: k.routes(), TLSConfig: tlsConfig, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	log.Fatal(server.ServeTLS(listener, "", ""))
}

func serverTLS(cert, key, clientCA string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", clientCA)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}, nil
}

// announce writes the port under a temporary name first, so that a reader never sees half of it.
func announce(file string, port int) error {
	if err := os.WriteFile(file+".new", []byte(fmt.Sprint(port)), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func (k *kubelet) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", k.serveLogs)
	mux.HandleFunc("/exec/{ns}/{pod}/{container}", k.serveExec)
	mux.HandleFunc("/attach/{ns}/{pod}/{container}", k.serveAttach)
	mux.HandleFunc("/portForward/{ns}/{pod}", k.servePortForward)
	return mux
}

// logName is the log file of the request's container, without its suffix.
func (k *kubelet) logName(r *http.Request) string {
	return filepath.Join(k.dir, strings.Join([]string{r.PathValue("ns"), r.PathValue("pod"), r.PathValue("container")}, "_"))
}

func (k *kubelet) serveExec(w http.ResponseWriter, r *http.Request) {
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, k.podOf(r), r.PathValue("pod"), "", r.PathValue("container"), r.Form["command"], opts,
		idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k *kubelet) serveAttach(w http.ResponseWriter, r *http.Request) {
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, k.podOf(r), r.PathValue("pod"), "", r.PathValue("container"), opts,
		idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k *kubelet) servePortForward(w http.ResponseWriter, r *http.Request) {
	opts, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, forwarder{}, r.PathValue("pod"), "", opts,
		idleTimeout, creationTimeout, portforward.SupportedProtocols)
}
