package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "usage: bookinfo SERVICE"},
		{"help", 0, "productpage"},
		{"--help", 0, "echo"},
		{"ratings -h", 0, "env FAULT_FILE"},
		{"shop", 2, `no service is named "shop"`},
		{"ratings -nonsense", 2, "flag provided but not defined: -nonsense"},
		{"ratings 9080", 2, `"9080" is no flag; see bookinfo ratings -h`},
		{"ratings -port 99999", 1, "set -port and -host"},
		{"echo -tcp-port 99999", 1, "see -port, -tcp-port and -grpc-port"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var out bytes.Buffer
			code := run(t.Context(), strings.Fields(c.args), settings{"PORT": "0", "GRPC_PORT": "off"}.get, &out, &out)
			if code != c.code || !strings.Contains(strings.ToLower(out.String()), strings.ToLower(c.says)) {
				t.Errorf("exit code %d, want %d; want %q in:\n%s", code, c.code, c.says, &out)
			}
		})
	}
}

// startBinary runs the command as main does and returns the logged addresses, a way to end it, and its exit code.
func startBinary(t *testing.T, args []string, env settings) (log string, end func(), code <-chan int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() { done <- run(ctx, args, env.get, io.Discard, w) }()
	line := make([]byte, 4096)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	return string(line[:n]), cancel, done
}

func TestServiceStartsAsToldAndEndsWell(t *testing.T) {
	fault := filepath.Join(t.TempDir(), "fault")
	log, end, code := startBinary(t, []string{"reviews", "-port", "0"},
		settings{"HOST": "127.0.0.1", "PORT": "not this", "SERVICE_VERSION": "v1", "HOSTNAME": "pod-7", "FAULT_FILE": fault})
	for _, want := range []string{"service=reviews", "version=v1", "instance=pod-7"} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q: %s", want, log)
		}
	}
	url := "http://" + regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(log)[1]
	if status, body := get(t, http.DefaultClient, url+"/reviews/0"); status != 200 || !strings.Contains(body, `"podname":"pod-7"`) {
		t.Errorf("%d %s", status, body)
	}
	if err := os.WriteFile(fault, []byte("500\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, http.DefaultClient, url+"/reviews/0"); status != 500 {
		t.Errorf("status %d with the fault file, want 500", status)
	}
	end()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
}

func TestEchoStartsAsTold(t *testing.T) {
	log, end, code := startBinary(t, []string{"echo", "-port", "0", "-grpc-port", "off", "-name", "backend"},
		settings{"HOST": "127.0.0.1", "TCP_PORT": "0"})
	if !regexp.MustCompile(`service=backend version=v1 .*http=127\.0\.0\.1:\d+ tcp=127\.0\.0\.1:\d+ grpc=off`).MatchString(log) {
		t.Errorf("log: %s", log)
	}
	end()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
}

func TestReadmeNamesEveryFlagAndVariable(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := []string{}
	env := func(name string) string { asked = append(asked, name); return "" }
	flags, _ := newFlags("x", env)
	flags.VisitAll(func(f *flag.Flag) { asked = append(asked, "`-"+f.Name+"`") })
	for _, r := range roles {
		if r.build != nil {
			if _, err := r.build(setup{env: env}); err != nil {
				t.Fatal(err)
			}
		}
	}
	asked = slices.DeleteFunc(asked, func(s string) bool { return regexp.MustCompile(`^(REVIEWS|RATINGS)_SERVICE_`).MatchString(s) })
	for _, name := range asked {
		if !bytes.Contains(readme, []byte(name)) {
			t.Errorf("README.md does not name %s", name)
		}
	}
}

func TestMeshObjects(t *testing.T) {
	for _, name := range []string{"productpage", "details", "reviews", "ratings"} {
		text, err := os.ReadFile(filepath.Join("mesh", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(text), "\n---\n")
		if len(parts) != 2 {
			t.Fatalf("%s: %d objects, want 2", name, len(parts))
		}
		var account corev1.ServiceAccount
		var service corev1.Service
		if err := yaml.UnmarshalStrict([]byte(parts[0]), &account); err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict([]byte(parts[1]), &service); err != nil {
			t.Fatal(err)
		}
		if account.Kind != "ServiceAccount" || account.Name != "bookinfo-"+name || account.Namespace != "default" {
			t.Errorf("%s: account is %s %s/%s", name, account.Kind, account.Namespace, account.Name)
		}
		if service.Kind != "Service" || service.Name != name || service.Namespace != "default" || service.Spec.Selector["app"] != name ||
			len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Name != "http" || service.Spec.Ports[0].Port != 9080 {
			t.Errorf("%s: service is %+v", name, service)
		}
	}
}
