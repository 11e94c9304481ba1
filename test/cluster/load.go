package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Load is calls that go on, one after the other, until End.
type Load struct {
	c     *Test
	what  string
	cmd   *exec.Cmd
	stdin io.Closer
	out   bytes.Buffer
	said  bytes.Buffer
	stop  context.CancelFunc
}

// Load has the client in a pod, as in Call, make calls until End, 10 ms after one has been answered the next. At the end of the test it ends
// in any case.
func (c *Test) Load(namespace, from, url string, args ...string) *Load {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	args = append([]string{"exec", "-i", "-n", namespace, from, "--", "/client", url, "--json", "--until-eof", "--pause=10ms", "--timeout=10s"}, args...)
	l := &Load{c: c, what: strings.Join(append([]string{namespace + "/" + from, url}, args[12:]...), " "), cmd: exec.CommandContext(ctx, c.Tool, args...), stop: stop}
	l.cmd.Env, l.cmd.Stdout, l.cmd.Stderr, l.cmd.WaitDelay = append(os.Environ(), c.Env()...), &l.out, &l.said, 10*time.Second
	stdin, err := l.cmd.StdinPipe()
	if err == nil {
		err = l.cmd.Start()
	}
	if err != nil {
		stop()
		c.t.Fatal(err)
	}
	l.stdin = stdin
	c.t.Cleanup(func() {
		if l.cmd.ProcessState == nil {
			stop()
			_ = l.cmd.Wait()
		}
	})
	return l
}

// End has no more calls begin, and returns the answers in their order once the last is there.
func (l *Load) End() []Answer {
	l.c.t.Helper()
	l.stdin.Close()
	time.AfterFunc(limit, l.stop)
	err := l.cmd.Wait() // calls without an answer fail it too
	var answers []Answer
	for in := json.NewDecoder(&l.out); ; {
		var a Answer
		switch e := in.Decode(&a); {
		case e == io.EOF && len(answers) > 0:
			return answers
		case e != nil:
			l.c.t.Fatalf("calls from %s: %v, %v: %s", l.what, err, e, l.said.String())
		}
		answers = append(answers, a)
	}
}

// Lossless ends it, and fails the test if a call was lost, or there were few. It returns the answers.
func (l *Load) Lossless() []Answer {
	l.c.t.Helper()
	answers := l.End()
	lost := 0
	for _, a := range answers {
		if !a.passed() {
			lost++
			l.c.t.Logf("lost at %s after %v: %d %s %s", a.At.Format("15:04:05.000"), a.Took, a.Status, a.Error, a.Body)
		}
	}
	l.c.t.Logf("from %s: %d of %d calls were lost", l.what, lost, len(answers))
	if lost > 0 || len(answers) < few {
		l.c.t.Errorf("from %s: %d of %d calls were lost", l.what, lost, len(answers))
	}
	return answers
}

// passed says whether a call was answered with 200, and where it went to a caller (/http?url=...) the call that this made.
func (a *Answer) passed() bool {
	if a.Status != 200 || a.Error != "" {
		return false
	}
	var inner struct{ Status int }
	return a.Header.Get("X-Bookinfo-Service") != "caller" || json.Unmarshal([]byte(a.Body), &inner) == nil && inner.Status == 200
}

// few calls say nothing of what happened while they were made.
const few = 50
