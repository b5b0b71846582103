// Package tcpproxy stands between a client and a server under test and breaks
// their connection at a chosen byte: not by luck, but every time. A test that
// wants a COMMIT whose reply is lost says
//
//	proxy := tcpproxy.Start(t, server.Address())
//	commit := proxy.Catch("COMMIT")
//	go client(proxy.Address())
//	commit.Wait(t)    // the statement has left the client, and not reached the server
//	commit.LoseReply() // now it has, and was answered, and the client will never know
//
// Only for tests. Everything is on 127.0.0.1.
package tcpproxy
