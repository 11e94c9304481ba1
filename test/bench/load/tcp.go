package load

import "syscall"

// echoServer sends back what it gets.
type echoServer struct{ quiet }

func (echoServer) received(c *conn, p []byte) (int, error) {
	return len(p), c.sendCopy(p)
}

// echoClient is a caller that sends a message and waits for its echo.
type echoClient struct {
	*caller
	quiet
	c       *conn
	message []byte
}

func (k *echoClient) opened(c *conn) error {
	k.c = c
	return nil
}

func (k *echoClient) begin() error { return k.c.send(k.message) }

func (k *echoClient) received(_ *conn, p []byte) (int, error) {
	if len(p) < len(k.message) {
		return 0, nil
	}
	return len(k.message), k.run.done(k.caller)
}

func (k *echoClient) closed(_ *conn, err error) { k.run.failed(err) }

const megabyte = 1 << 20

// pump sends without end.
type pump struct {
	quiet
	block []byte
}

func (s *pump) opened(c *conn) error                    { return s.writable(c) }
func (s *pump) received(_ *conn, p []byte) (int, error) { return len(p), nil }

func (s *pump) writable(c *conn) error {
	for range 8 { // and then others have their turn
		if err := c.send(s.block); err != nil || len(c.out) > 0 {
			return err
		}
	}
	return c.interest(syscall.EPOLLIN | syscall.EPOLLOUT)
}

// sink takes everything, and tells after each megabyte where one is to be told.
type sink struct {
	quiet
	got  int
	each func() error // nil: nobody wants to know
	acks bool         // a byte is sent for each megabyte
}

func (s *sink) received(c *conn, p []byte) (int, error) {
	s.got += len(p)
	for ; s.got >= megabyte; s.got -= megabyte {
		if s.acks {
			if err := c.send([]byte{1}); err != nil {
				return len(p), err
			}
		}
		if s.each != nil {
			if err := s.each(); err != nil {
				return len(p), err
			}
		}
	}
	return len(p), nil
}

// sourceClient receives megabytes; there is nothing to begin.
type sourceClient struct {
	*caller
	sink
}

func (k *sourceClient) begin() error              { return nil }
func (k *sourceClient) closed(_ *conn, err error) { k.run.failed(err) }

// sinkClient sends; a byte comes back for each megabyte that has arrived.
type sinkClient struct {
	*caller
	pump
}

func (k *sinkClient) begin() error { return nil }

func (k *sinkClient) received(_ *conn, p []byte) (int, error) {
	for range p {
		if err := k.run.done(k.caller); err != nil {
			return len(p), err
		}
	}
	return len(p), nil
}

func (k *sinkClient) closed(_ *conn, err error) { k.run.failed(err) }
