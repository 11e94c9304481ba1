package h2

// requestBody is the body of a request to a Server.
type requestBody Stream

// Next lends the next bytes. The first asks for them if the client waits for that.
func (b *requestBody) Next() ([]byte, error) {
	st := (*Stream)(b)
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	if st.expect {
		st.expect = false
		if !st.headSent && len(st.in) == 0 && !st.recvClosed && st.unsendable() == nil && !st.interrupted {
			st.sendStatus(100, nil, false)
		}
	}
	p, err := st.read()
	st.call.Sent += int64(len(p)) // counted here and not where they are sent on: an attempt that is made again counts once
	return p, err
}

// Ready lets whoever sends the body on gather it behind the request's head.
func (b *requestBody) Ready() bool { return b.ready() }

func (b *requestBody) Interrupt(on bool) { b.interrupt(on) }

// Close says that no more will be read. An error resets the stream.
func (b *requestBody) Close(err error) {
	st := (*Stream)(b)
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	if err != nil {
		st.reset(codeOf(err), err)
		return
	}
	st.consumed()
	st.drop()
}
