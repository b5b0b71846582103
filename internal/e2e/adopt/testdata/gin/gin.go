package main

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

func api() http.Handler { return gin.New() }
