package main

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// newRouter returns the routes.
func newRouter(a *api) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery())
	r.GET("/healthz", healthz)
	r.GET("/user/test", a.test)
	r.GET("/user/balance/:student", a.balance)
	r.GET("/user/tip-form", a.tipForm)
	r.POST("/user/tip", a.tip)
	if a.circuits != nil {
		r.GET("/hystrix.stream", gin.WrapH(a.circuits))
	}
	if a.metrics != nil {
		r.GET("/metrics", gin.WrapH(a.metrics))
	}
	if a.page == nil {
		return r
	}
	mux := http.NewServeMux()
	mux.Handle("/", r)
	for _, route := range a.page.Routes() {
		mux.Handle(route, a.page.Handler())
	}
	return mux
}

// healthz says that this server runs; it asks nothing of hello-srv.
func healthz(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"status": "ok"})
}
