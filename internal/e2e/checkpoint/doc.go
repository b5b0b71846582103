// Package checkpoint lets a test hold other processes at named points, and see
// who has passed them:
//
//	director := checkpoint.Listen(t)
//	held := director.Hold("before the commit", key)
//	go call(key)
//	visit := held.Wait(t) // somebody is there now, and stays
//	kill(visit.Process)
//
// The processes connect to the director's address and pass points:
//
//	c, err := checkpoint.Dial(ctx, address, "instance 1")
//	verdict, err := c.Pass(ctx, "before the commit", key)
//
// Pass returns at once unless the test holds the point. What the director has
// seen happened before Pass returned, so the order of visits is the order of
// events, across processes.
//
// Only for tests. Everything is on 127.0.0.1.
package checkpoint
